package tokenizer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// read decodes a file of testdata that generate.py wrote.
func read[T any](t testing.TB, name string) (v T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// expected holds what the library tokenizers returns for the strings of strings.json.
type expected struct {
	First []int32   `json:"first"` // ids of the first string, with BOS
	IDs   [][]int32 `json:"ids"`   // nil if the vocabulary lacks a byte of the string
}

// load calls Load and fails the test on an error.
func load(t testing.TB, path string) *Tokenizer {
	t.Helper()
	tok, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// checkParity compares the ids of all strings, and the texts that they decode to.
func checkParity(t *testing.T, tok *Tokenizer, want expected) {
	t.Helper()
	texts := read[[]string](t, "strings.json")
	if len(texts) < 200 || len(want.IDs) != len(texts) {
		t.Fatalf("%d strings and ids of %d", len(texts), len(want.IDs))
	}
	if got, err := tok.Encode(texts[0]); err != nil || !slices.Equal(got, want.First) {
		t.Errorf("Encode(%q) = %v, %v, want %v", texts[0], got, err, want.First)
	}
	for i, text := range texts {
		got, err := tok.Append(nil, text)
		if want.IDs[i] == nil {
			if !errors.Is(err, ErrUncovered) {
				t.Errorf("%q: ids %v, error %v, want ErrUncovered", text, got, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, want.IDs[i]) {
			t.Errorf("%q: ids %v, %v, want %v", text, got, err, want.IDs[i])
		}
		if tok.nfc {
			text = nfc(text)
		}
		if back := tok.Decode(got); back != text && err == nil && tok.plain() {
			t.Errorf("%q decodes to %q", text, back)
		}
	}
}

// plain reports whether every added token matches exactly its content.
func (t *Tokenizer) plain() bool {
	for _, a := range t.added {
		if a.LStrip || a.RStrip || a.Normalized && t.nfc {
			return false
		}
	}
	return true
}

func TestIDsAreThoseOfTokenizers(t *testing.T) {
	for _, name := range []string{"deepseek_v3", "deepseek_v2", "qwen3", "llama3_1", "smollm2", "flags"} {
		t.Run(name, func(t *testing.T) {
			checkParity(t, load(t, "testdata/cut_"+name+".json"), read[expected](t, "cut_"+name+".ids.json"))
		})
	}
}

// TestIDsOfFullVocabularies needs AHA_TOKENIZERS, a folder with a model folder for each
// name.
func TestIDsOfFullVocabularies(t *testing.T) {
	folder := os.Getenv("AHA_TOKENIZERS")
	if folder == "" {
		t.Skip("AHA_TOKENIZERS is not set")
	}
	for _, name := range []string{"deepseek_v3", "qwen3", "llama3_1", "smollm2"} {
		t.Run(name, func(t *testing.T) {
			checkParity(t, load(t, filepath.Join(folder, name)), read[expected](t, name+".ids.json"))
		})
	}
}

func TestClassesAreThoseOfTokenizers(t *testing.T) {
	c := unicodeClasses()
	for name, list := range read[map[string][]rune](t, "classes.json") {
		is := map[string]class{"L": letter, "M": mark, "N": number, "P": punctuation, "S": symbol, "space": space,
			"numeric": numeric}[name]
		var got []rune
		for r := range rune(0x110000) {
			if c.pages[r>>8][r&255]&is == 0 || r >= 0xd800 && r < 0xe000 {
				continue
			}
			if n := len(got); n > 0 && got[n-1] == r-1 {
				got[n-1] = r
			} else {
				got = append(got, r, r)
			}
		}
		if !slices.Equal(got, list) {
			t.Errorf("%s: %d ranges, want %d", name, len(got)/2, len(list)/2)
			for i := range min(len(got), len(list)) {
				if got[i] != list[i] {
					t.Errorf("%s: first difference %U, want %U", name, got[i], list[i])
					break
				}
			}
		}
	}
}
