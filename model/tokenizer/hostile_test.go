package tokenizer

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// fileOf returns a tokenizer.json with these tokens, merges and added tokens.
func fileOf(vocab, merges, added string) []byte {
	return []byte(`{"added_tokens":[` + added + `],"pre_tokenizer":` + byteLevel + `,"decoder":{"type":"ByteLevel"},
		"model":{"type":"BPE","vocab":{` + vocab + `},"merges":[` + merges + `]}}`)
}

func TestHostileFilesAreNamed(t *testing.T) {
	many := strings.Builder{}
	for i := range 1_000_000 {
		fmt.Fprintf(&many, `{"id":%d,"content":"t%d"},`, i, i)
	}
	for want, text := range map[string][]byte{
		"more than 100000":     fileOf(`"a":0`, ``, strings.TrimSuffix(many.String(), ",")),
		`merge 0, "a b": "ab"`: fileOf(`"a":0,"b":1`, `"a b"`, ``),
		// Merges whose parts are one another's results: each is longer than its parts, so one is missing.
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
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := Parse(make([]byte, maxFile+1)); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("error %v", err)
	}
}

// TestLongPiecesTakeLinearTime would take hours if it did not.
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
				t.Errorf("%s: %q does not come back", name, piece)
			}
		}
	}
}

func FuzzTokenizerJSON(f *testing.F) {
	for _, name := range cuts {
		text, err := os.ReadFile("testdata/cut_" + name + ".json")
		if err != nil {
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
				t.Fatalf("%s: %q: %v", tok.Pattern(), text, err)
			}
			want := text
			if tok.nfc {
				want = nfcBetweenAdded(tok, text)
			}
			if back := tok.Decode(ids); back != want {
				t.Errorf("%s: %q comes back as %q", tok.Pattern(), want, back)
			}
		}
	})
}

// nfcBetweenAdded is the normal form of text but for its added tokens.
func nfcBetweenAdded(tok *Tokenizer, text string) string {
	var out strings.Builder
	for at := 0; at < len(text); {
		_, begin, end := tok.raw.next(text, at)
		out.WriteString(nfc(text[at:begin]) + text[begin:end])
		at = end
	}
	return out.String()
}
