package lab

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// A tokenizer and its chat template do not change if they are converted from a GGUF file to a folder and back.
func TestTokenizersGoBetweenGGUFAndFolders(t *testing.T) {
	template := "{{ bos_token }}<|im_start|>\n\"é\""
	m := gguf.Metadata{{Key: "tokenizer.ggml.model", Value: "gpt2"}, {Key: "tokenizer.ggml.pre", Value: "smollm"},
		{Key: "tokenizer.ggml.tokens", Value: []string{"a", "b", "ab", "<|im_start|>", "<|im_end|>", "[PAD5]"}},
		{Key: "tokenizer.ggml.token_type", Value: []int32{1, 1, 1, 3, 4, 5}},
		{Key: "tokenizer.ggml.merges", Value: []string{"a b"}},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(3)}, {Key: "tokenizer.ggml.add_bos_token", Value: true},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(4)}, {Key: "tokenizer.ggml.add_eos_token", Value: false},
		{Key: "tokenizer.ggml.unknown_token_id", Value: uint32(0)},
		{Key: "tokenizer.ggml.padding_token_id", Value: uint32(4)}, {Key: chat.GGUFKey, Value: template}}
	files, err := TokenizerFiles(writeGGUF(t, m))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, write := range files {
		if err := checkpoint.WriteAtomic(filepath.Join(dir, name), write); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := tok.Encode("ab<|im_end|>"); err != nil || !slices.Equal(ids, []int32{3, 2, 4}) {
		t.Errorf("ids %v, %v", ids, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, tokenizer.ConfigName)); err != nil ||
		!strings.Contains(string(text), `"eos_token":"\u003c|im_end|\u003e"`) {
		t.Errorf("%s, %v", text, err)
	}
	back, err := TokenizerMetadata(dir, 6)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("error %v, %v, want %v", err, back, m)
	}
}

func TestTokenizersThatCannotGoAlongAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	if m, err := TokenizerMetadata(dir, 6); len(m) > 0 || err != nil {
		t.Errorf("%v without a tokenizer, error %v", m, err)
	}
	path := writeGGUF(t, gguf.Metadata{{Key: "tokenizer.ggml.model", Value: "llama"}})
	if files, err := TokenizerFiles(path); len(files) > 0 || err != nil {
		t.Errorf("%d files for an unsupported tokenizer, error %v", len(files), err)
	}
	if err := os.WriteFile(filepath.Join(dir, tokenizer.FileName), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := TokenizerMetadata(dir, 6); err == nil {
		t.Error("no error for an invalid tokenizer")
	}
}

// writeGGUF writes a GGUF file without tensors and returns its path.
func writeGGUF(t *testing.T, m gguf.Metadata) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := gguf.Write(f, m, nil); err != nil {
		t.Fatal(err)
	}
	return path
}
