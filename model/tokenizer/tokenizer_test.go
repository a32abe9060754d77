package tokenizer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var cuts = []string{"deepseek_v3", "deepseek_v2", "qwen3", "llama3_1", "smollm2", "flags"}

func TestSavedTokenizersAreTheSame(t *testing.T) {
	texts := read[[]string](t, "strings.json")
	for _, name := range cuts {
		first := load(t, "testdata/cut_"+name+".json")
		dir := t.TempDir()
		if err := first.Save(dir); err != nil {
			t.Fatal(err)
		}
		second := load(t, dir)
		for _, text := range texts {
			want, wantErr := first.Encode(text)
			got, gotErr := second.Encode(text)
			if !slices.Equal(got, want) || (gotErr == nil) != (wantErr == nil) {
				t.Errorf("%s: %q: ids %v, %v, want %v, %v", name, text, got, gotErr, want, wantErr)
			}
		}
		a, _ := first.MarshalJSON()
		b, _ := second.MarshalJSON()
		if string(a) != string(b) {
			t.Errorf("%s: saving it again gives a different file", name)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 || files[0].Name() != FileName {
			t.Errorf("%s: the folder has %v", name, files)
		}
	}
}

func TestBytesThatAreNoCharactersComeBack(t *testing.T) {
	for _, name := range []string{"deepseek_v3", "deepseek_v2", "llama3_1", "qwen3"} {
		tok := load(t, "testdata/cut_"+name+".json")
		for _, text := range []string{"\xff", "a\xc3", "\xe4\xbd", "好\xe4\xbd好", "\xed\xa0\x80", "x \x80\x80y",
			"\xf0\x9f<think>\x98"} {
			ids, err := tok.Append(nil, text)
			if back := tok.Decode(ids); err != nil || back != text {
				t.Errorf("%s: %q is decoded to %q, %v", name, text, back, err)
			}
		}
	}
}

func TestDecoderNeverSplitsACharacter(t *testing.T) {
	tok, err := NewBytes(Added{Content: "<eos>", Special: true})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		anyBytes := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
		text := rapid.OneOf(rapid.String(), anyBytes).Draw(t, "text")
		ids, err := tok.Append(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		d := tok.NewDecoder(true)
		var all strings.Builder
		for _, id := range ids {
			part := d.Next(id)
			if utf8.ValidString(text) && !utf8.ValidString(part) {
				t.Fatalf("part %q of %q", part, text)
			}
			all.WriteString(part)
		}
		all.WriteString(d.Rest())
		if want := strings.ReplaceAll(text, "<eos>", ""); all.String() != want {
			t.Fatalf("decoded %q, want %q", all.String(), want)
		}
	})
}

func TestDecoderKeepsOrLeavesOutSpecialTokens(t *testing.T) {
	tok := load(t, "testdata/cut_deepseek_v3.json")
	ids, err := tok.Encode("<｜end▁of▁sentence｜>a")
	if err != nil {
		t.Fatal(err)
	}
	for skip, want := range map[bool]string{false: "<｜end▁of▁sentence｜>a", true: "a"} {
		d, text := tok.NewDecoder(skip), ""
		for _, id := range ids {
			text += d.Next(id)
		}
		if text != want {
			t.Errorf("skipping special tokens %v gives %q, want %q", skip, text, want)
		}
	}
	if got := tok.Decode([]int32{-1, int32(tok.Len()), 1 << 30}); got != "\ufffd\ufffd\ufffd" {
		t.Errorf("ids without tokens are %q", got)
	}
}

func TestCharactersAreTokens(t *testing.T) {
	tok, err := NewCharacters("hello 好\n", Added{Content: "<pad>", Special: true}, Added{Content: "no"},
		Added{Content: "e"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, tok := range []*Tokenizer{tok, load(t, dir)} {
		ids, err := tok.Encode("no<pad>好hole")
		if want := []int32{1, 0, 7, 3, 5, 4, 2}; err != nil || !slices.Equal(ids, want) {
			t.Errorf("ids %v, %v, want %v", ids, err, want)
		}
		if text := tok.Decode(ids); text != "no<pad>好hole" || tok.Len() != 9 {
			t.Errorf("decoded %q, %d ids", text, tok.Len())
		}
		for text, want := range map[string]string{"h\nx": `"x" after "h\n"`, "\xff": `"\xff" after ""`} {
			if _, err := tok.Encode(text); !errors.Is(err, ErrUncovered) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v, want %s", text, err, want)
			}
		}
		if id, ok := tok.ID("<pad>"); id != 0 || !ok || !tok.Special(0) || tok.Special(1) {
			t.Errorf("<pad> is %d, %v", id, ok)
		}
	}
	if _, err := NewCharacters("\xff"); err == nil {
		t.Error("a text that is not UTF-8 was taken")
	}
}

func TestBytesAreTokens(t *testing.T) {
	tok, err := NewBytes(Added{Content: "<bos>", Special: true}, Added{Content: "<eos>", Special: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	ids, err := load(t, dir).Encode("<bos>aé\xff<eos>")
	if want := []int32{256, 'a', 0xc3, 0xa9, 0xff, 257}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("ids %v, %v, want %v", ids, err, want)
	}
}

func TestWhatIsNotImplementedIsRefused(t *testing.T) {
	good, err := os.ReadFile("testdata/cut_llama3_1.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string // path of the value to replace
		value string
		want  string
	}{
		{"pre_tokenizer", `{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated","invert":false}`, `\\w+`},
		{"pre_tokenizer", `{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}`, "add_prefix_space"},
		{"pre_tokenizer", `null`, "of pre_tokenizer characters, want Fuse"},
		{"normalizer", `{"type":"NFKC"}`, "normalizer"},
		{"post_processor", `{"type":"BertProcessing"}`, "BertProcessing"},
		{"post_processor", `{"type":"TemplateProcessing","single":[]}`, "post_processor"},
		{"post_processor", `{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"Sequence":{"id":"B"}}]}`,
			"post_processor"},
		{"decoder", `{"type":"WordPiece"}`, "decoder"},
		{"model.type", `"Unigram"`, `"Unigram", want BPE`},
		{"model.dropout", `0.1`, "dropout"},
		{"model.byte_fallback", `true`, "byte_fallback"},
		{"model.continuing_subword_prefix", `"##"`, "continuing_subword_prefix"},
		{"model.end_of_word_suffix", `"</w>"`, "end_of_word_suffix"},
	} {
		_, err := Parse(replace(t, good, c.path, c.value))
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want one of %s", c.path, c.value, err, c.want)
		}
	}
}

// replace sets a value in a JSON object; "a.b" is the key b of the object a.
func replace(t testing.TB, text []byte, path, value string) []byte {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	key, rest, nested := strings.Cut(path, ".")
	object[key] = json.RawMessage(value)
	if nested {
		var again map[string]json.RawMessage
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		object[key] = replace(t, again[key], rest, value)
	}
	out, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), FileName) {
		t.Errorf("error %v", err)
	}
}

// TestEncodingTakesNoMemory measures allocations for texts with new words each time, and
// one long word.
func TestEncodingTakesNoMemory(t *testing.T) {
	tok := load(t, "testdata/cut_deepseek_v3.json")
	text := strings.Repeat("a", 50_000) + strings.Join(read[[]string](t, "strings.json"), "")
	ids, err := tok.Append(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 50 {
		if ids, err = tok.Append(ids[:0], text[i:]); err != nil && utf8.ValidString(text[i:]) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	// Garbage collection may drop the worker: 2 MiB and the parts of the long word.
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 16<<20 {
		t.Errorf("%d bytes allocated for 50 texts", bytes)
	}
}

func TestTokenizersAreUsedConcurrently(t *testing.T) {
	tok := load(t, "testdata/cut_qwen3.json")
	want := read[expected](t, "cut_qwen3.ids.json")
	texts := read[[]string](t, "strings.json")
	failed := make(chan string, 4)
	for range 4 {
		go func() {
			for i, text := range texts {
				if ids, err := tok.Append(nil, text); err != nil || !slices.Equal(ids, want.IDs[i]) {
					failed <- text
					return
				}
			}
			failed <- ""
		}()
	}
	for range 4 {
		if text := <-failed; text != "" {
			t.Errorf("%q has different ids", text)
		}
	}
}
