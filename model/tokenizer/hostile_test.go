package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/model/gguf"
)

// fileOf returns a tokenizer.json with the given tokens, merges and added tokens.
func fileOf(vocab, merges, added string) []byte {
	return []byte(`{"added_tokens":[` + added + `],"pre_tokenizer":` + byteLevel + `,"decoder":{"type":"ByteLevel"},
		"model":{"type":"BPE","vocab":{` + vocab + `},"merges":[` + merges + `]}}`)
}

// listOf returns n numbered JSON entries.
func listOf(n int, format string) string {
	var list strings.Builder
	for i := range n {
		if i > 0 {
			list.WriteByte(',')
		}
		fmt.Fprintf(&list, format, i)
	}
	return list.String()
}

func TestHostileFilesAreNamed(t *testing.T) {
	// part returns a file with a changed value of a key.
	part := func(key, value string) []byte {
		return []byte(strings.TrimSuffix(string(fileOf(`"a":0`, ``, ``)), "}") + `,"` + key + `":` + value + "}")
	}
	around := `{"type":"TemplateProcessing","single":[` + strings.Repeat(`{"SpecialToken":{"id":"x"}},`, 100_000) +
		`{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":[0` + strings.Repeat(",0", 60) + `]}}}`
	for want, text := range map[string][]byte{
		"more than 100000":                   fileOf(`"a":0`, ``, listOf(1_000_000, `{"id":%d,"content":"t%[1]d"}`)),
		"tokens \"t0\" and \"t1\" have id 7": fileOf(listOf(1_000_000, `"t%d":7`), ``, ``),
		`token "Ġ" has the ids 0 and 1`:      fileOf(`"Ġ":0,"Ġ":1`, ``, ``),
		`tokens "a" and "a" have id 0`:       fileOf(`"a":0,"a":0`, ``, ``),
		`token "好" has the ids 0 and 2`:      fileOf(`"好":0,"a":1,"好":2`, ``, ``),
		"has 1000000 bytes, at most 256":     fileOf(`"a":0`, ``, `{"id":1,"content":"`+strings.Repeat("a", 1_000_000)+`"}`),
		"122 ids are put around texts":       part("post_processor", around),
		`special_tokens has no "x"`: part("post_processor", `{"type":"TemplateProcessing","single":[`+
			`{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],"special_tokens":{}}`),
		`"(a+)+$"`: part("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"(a+)+$"}}`),
		`normalizer {"type":"Sequence"`: part("normalizer", strings.Repeat(`{"type":"Sequence","normalizers":[`, 4_000)+
			`{"type":"Lowercase"}`+strings.Repeat("]}", 4_000)),
		"vocab: [ is no object": []byte(strings.Replace(string(fileOf(``, ``, ``)), `"vocab":{}`, `"vocab":[]`, 1)),

		`merge 0, "a b": "ab"`: fileOf(`"a":0,"b":1`, `"a b"`, ``),
		// Merges whose parts are results of each other: since each result is longer than
		// its parts, one is missing.
		`merge 1, "ab a": "aba"`:                       fileOf(`"a":0,"b":1,"ab":2`, `"a b","ab a"`, ``),
		`merge 0, " a": ""`:                            fileOf(`"a":0`, `" a"`, ``),
		`merge 0, "a ": ""`:                            fileOf(`"a":0`, `["a",""]`, ``),
		`merge 0, "a": ""`:                             fileOf(`"a":0`, `"a"`, ``),
		`merge 0, "a b c"`:                             fileOf(`"a":0,"b":1`, `"a b c"`, ``),
		"merge 0 has 3 tokens":                         fileOf(`"a":0`, `["a","a","a"]`, ``),
		"merges: json":                                 fileOf(`"a":0`, `1`, ``),
		`token "a" has id -1`:                          fileOf(`"a":-1`, ``, ``),
		`has id 2147483647`:                            fileOf(`"a":2147483647`, ``, ``),
		`tokens "a" and "b" have id 0`:                 fileOf(`"a":0,"b":0`, ``, ``),
		"the token with id 3 is empty":                 fileOf(`"":3`, ``, ``),
		`added token "x" has id -5`:                    fileOf(`"a":0`, ``, `{"id":-5,"content":"x"}`),
		`added token 1 has no content`:                 fileOf(`"a":0`, ``, `{"id":1,"content":""}`),
		`added token "x" has the ids 1 and 2`:          fileOf(`"a":0`, ``, `{"id":1,"content":"x"},{"id":2,"content":"x"}`),
		`id 0 is of "a" and of the added token "x"`:    fileOf(`"a":0`, ``, `{"id":0,"content":"x"}`),
		"added_tokens: entry 0":                        fileOf(`"a":0`, ``, `7`),
		"exceeded max depth":                           []byte(strings.Repeat("[", 20_000)),
		"unexpected end of JSON input":                 []byte("{"),
		"cannot unmarshal string into Go struct field": []byte(`{"model":"x"}`),
		"cannot unmarshal number":                      fileOf(`"a":1e99`, ``, ``),
	} {
		start := time.Now()
		json.Valid(text)
		limit := time.Second + 20*time.Since(start) // other processes may use most of the processor
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start = time.Now()
		_, err := Parse(text)
		taken := time.Since(start)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 5000 {
			t.Errorf("error %.2000v, want %s", err, want)
		}
		size := after.TotalAlloc - before.TotalAlloc
		if taken > limit || size > 32<<20+10*uint64(len(text)) {
			t.Errorf("%s: %d bytes of file took %v and %d bytes of memory", want, len(text), taken, size)
		}
		t.Logf("%d bytes of file took %v and %d bytes of memory: %.60s", len(text), taken, size, want)
	}
	if _, err := Parse(make([]byte, maxFile+1)); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("error %v", err)
	}
}

// TestAddedTokensTakeLinearTime would take minutes if the time were quadratic.
func TestAddedTokensTakeLinearTime(t *testing.T) {
	for _, c := range []struct {
		added Added
		piece string
	}{
		{Added{Content: " ", LStrip: true}, " "},
		{Added{Content: "x", LStrip: true, RStrip: true}, "x "},
		{Added{Content: "x", SingleWord: true}, "x"},
		{Added{Content: "xx", SingleWord: true, LStrip: true}, " xxy"},
		{Added{Content: strings.Repeat("a", maxContent-1) + "b"}, "a"},
		{Added{Content: strings.Repeat("e", 85) + "\u0301", Normalized: true}, "e\u0301"},
	} {
		tok, err := NewBytes(c.added)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat(c.piece, 500_000/len(c.piece))
		start := time.Now()
		if _, err := tok.Append(nil, text); err != nil || time.Since(start) > 10*time.Second {
			t.Errorf("%+v in %q: %v, error %v", c.added, c.piece, time.Since(start), err)
		}
		t.Logf("%.40q in %q: %v", c.added.Content, c.piece, time.Since(start))
	}
}

// TestLongPiecesTakeLinearTime would take hours if the time were quadratic.
func TestLongPiecesTakeLinearTime(t *testing.T) {
	for _, name := range cuts {
		tok := load(t, "testdata/cut_"+name+".json")
		for _, piece := range []string{"a", " ", "\n", "1", "好", "<", "\u0301", "'", " \n", "\u3000x", "<L>"} {
			text := strings.Repeat(piece, 300_000/len(piece))
			ids, err := tok.Append(nil, text)
			if err != nil {
				t.Fatalf("%s: %q: %v", name, piece, err)
			}
			if back := tok.Decode(ids); back != text && tok.plain() {
				t.Errorf("%s: %q is not decoded to itself", name, piece)
			}
		}
	}
}

// small returns a tokenizer.json of testdata reduced to the ASCII letters and few merges
// and added tokens, which fuzzing can change and read quickly.
func small(t testing.TB, name string) []byte {
	t.Helper()
	file := read[map[string]any](t, "cut_"+name+".json")
	model := file["model"].(map[string]any)
	vocab, merges := map[string]int{}, []string{}
	add := func(token string) {
		if _, ok := vocab[token]; !ok {
			vocab[token] = len(vocab)
		}
	}
	for _, token := range slices.Sorted(maps.Keys(model["vocab"].(map[string]any))) {
		if len(token) == 1 || token == "Ġ" || token == "Ċ" {
			add(token)
		}
	}
	for _, merge := range []string{"t h", "h e", "th e", "Ġ t", "Ġt he", "i n", "Ċ Ċ"} {
		merges = append(merges, merge)
		add(strings.ReplaceAll(merge, " ", ""))
	}
	added := file["added_tokens"].([]any)
	added = added[max(0, len(added)-7):]
	for i, a := range added {
		a.(map[string]any)["id"] = len(vocab) + i
	}
	file["added_tokens"], model["vocab"], model["merges"] = added, vocab, merges
	file["post_processor"] = json.RawMessage(fmt.Sprintf(`{"type":"TemplateProcessing","special_tokens":{"x":{"ids":[%d]}},
		"single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}]}`, len(vocab)))
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func FuzzTokenizerJSON(f *testing.F) {
	for _, name := range cuts {
		text := small(f, name)
		if _, err := Parse(text); err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(fileOf(`"a":0,"b":1,"ab":2`, `"a b"`, `{"id":3,"content":"<x>","lstrip":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tok, err := Parse(text)
		if err != nil {
			return
		}
		for _, text := range []string{"a b ab <x> abba", string(text[:min(len(text), 200)])} {
			if ids, err := tok.Encode(text); err == nil {
				tok.Decode(ids)
			}
		}
		saved, err := tok.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(saved); err != nil {
			t.Fatalf("saved as %s: %v", saved, err)
		}
	})
}

// FuzzTokenizerGGUF reads arbitrary GGUF files as tokenizers.
func FuzzTokenizerGGUF(f *testing.F) {
	for _, name := range []string{"deepseek_v3", "qwen3", "llama3_1", "smollm2"} {
		tok, err := Parse(small(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ggufOf(f, metadata(f, tok)))
	}
	tok, err := New(Vocabulary{Pattern: SmolLM2, Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ggufOf(f, metadata(f, tok)))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := gguf.ReadHeader(bytes.NewReader(file), int64(len(file)), "fuzz")
		if err != nil {
			return
		}
		tok, err := FromGGUF(h.Metadata)
		if err != nil {
			return
		}
		for _, text := range []string{"a b ab <x> abba", string(file[:min(len(file), 200)])} {
			ids, err := tok.Append(nil, text)
			if back := tok.Decode(ids); err == nil && !tok.nfc && back != text {
				t.Errorf("%q is decoded to %q", text, back)
			}
		}
		saved, err := tok.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(saved); err != nil {
			t.Fatalf("saved as %s: %v", saved, err)
		}
	})
}

// ggufOf returns a GGUF file without tensors.
func ggufOf(t testing.TB, m gguf.Metadata) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := gguf.Write(&file, m, nil); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func FuzzEncode(f *testing.F) {
	var toks []*Tokenizer
	for _, name := range []string{"deepseek_v3", "deepseek_v2", "llama3_1", "qwen3"} {
		toks = append(toks, load(f, "testdata/cut_"+name+".json"))
	}
	for _, text := range read[[]string](f, "strings.json") {
		f.Add(text)
	}
	f.Add("\xff\xc3")
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			ids, err := tok.Append(nil, text)
			if err != nil {
				t.Fatalf("%s: %q: %v", tok.pattern, text, err)
			}
			want := text
			if tok.nfc {
				want = nfcBetweenAdded(tok, text)
			}
			if back := tok.Decode(ids); back != want {
				t.Errorf("%s: %q is decoded to %q", tok.pattern, want, back)
			}
		}
	})
}

// nfcBetweenAdded returns text normalized to NFC except for its added tokens.
func nfcBetweenAdded(tok *Tokenizer, text string) string {
	var out strings.Builder
	for at := 0; at < len(text); {
		_, begin, end := tok.raw.next(text, at)
		out.WriteString(nfc(text[at:begin]) + text[begin:end])
		at = end
	}
	return out.String()
}
