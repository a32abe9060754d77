package tokenizer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/gguf"
	"github.com/google/go-cmp/cmp"
)

// metadata returns the metadata of a tokenizer, for a model with two more ids than it has.
func metadata(t testing.TB, tok *Tokenizer) gguf.Metadata {
	t.Helper()
	m, err := tok.ToGGUF(tok.Len() + 2)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// without returns m without some keys.
func without(m gguf.Metadata, keys ...string) gguf.Metadata {
	return slices.DeleteFunc(slices.Clone(m), func(kv gguf.KeyValue) bool { return slices.Contains(keys, kv.Key) })
}

// write writes a GGUF file without tensors.
func write(t *testing.T, m gguf.Metadata) string {
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

func TestIDsOfGGUFAreThoseOfTokenizers(t *testing.T) {
	for _, name := range []string{"deepseek_v3", "deepseek_v2", "qwen3", "llama3_1", "smollm2"} {
		t.Run(name, func(t *testing.T) {
			path := write(t, metadata(t, load(t, "testdata/cut_"+name+".json")))
			checkParity(t, load(t, path), read[expected](t, "cut_"+name+".ids.json"))
		})
	}
}

// The library tokenizers assigns new ids to added tokens that are not in the model, so they
// must be in the model of the saved file.
func TestTokenizersOfGGUFAreSaved(t *testing.T) {
	tok := load(t, "testdata/cut_smollm2.json")
	want, err := tok.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	fromGGUF, err := FromGGUF(metadata(t, tok))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fromGGUF.MarshalJSON(); err != nil || string(got) != string(want) {
		t.Errorf("error %v (-want +got):\n%s", err, cmp.Diff(string(want), string(got)))
	}
	m := metadata(t, load(t, "testdata/cut_llama3_1.json"))
	m[2].Value = append(m[2].Value.([]string), "é")
	m[3].Value = append(m[3].Value.([]int32), ggufUser)
	if fromGGUF, err = FromGGUF(m); err != nil {
		t.Fatal(err)
	}
	if ids, err := fromGGUF.Append(nil, "é"); err != nil || len(ids) != 1 || fromGGUF.Decode(ids) != "é" {
		t.Errorf("ids %v of an added é, error %v", ids, err)
	}
}

// The metadata is what llama.cpp's converter writes, and roles are read back.
func TestRolesAndKindsOfTokensAreInGGUF(t *testing.T) {
	dir := t.TempDir()
	tok := load(t, "testdata/cut_llama3_1.json")
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	bos := tok.prefix[0]
	text := fmt.Sprintf(`{"bos_token": %q, "eos_token": {"content": "<|reserved_special_token_0|>", "special": true}, `+
		`"unk_token": null, "pad_token": "<|end_of_text|>", "add_bos_token": false, "add_eos_token": true}`,
		tok.Decode(tok.prefix))
	if err := os.WriteFile(filepath.Join(dir, ConfigName), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	m := metadata(t, load(t, dir))
	eos, _ := tok.ID("<|reserved_special_token_0|>")
	pad, _ := tok.ID("<|end_of_text|>")
	for key, want := range map[string]any{
		"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.bos_token_id": uint32(bos),
		"tokenizer.ggml.eos_token_id": uint32(eos), "tokenizer.ggml.padding_token_id": uint32(pad),
		"tokenizer.ggml.unknown_token_id": nil, "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": false,
	} {
		if got, _ := m.Lookup(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	types, _ := gguf.Value[[]int32](m, ggufTypes)
	tokens, _ := gguf.Value[[]string](m, ggufTokens)
	n := tok.Len()
	if len(types) != n+2 || types[bos] != 3 || types[n] != 5 || tokens[n] == tokens[n+1] || types[0] != 1 {
		t.Errorf("types %v", types)
	}
	back, err := FromGGUF(m)
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[Role]int32{BOS: bos, EOS: eos, Pad: pad} {
		if id, ok := back.Role(role); id != want || !ok {
			t.Errorf("%s is %d, %t, want %d", role, id, ok, want)
		}
	}
	if _, ok := back.Role(Unknown); ok {
		t.Error("there is an unknown token")
	}
}

func TestWhatGGUFCannotSayIsRefused(t *testing.T) {
	change := func(name string, f func(*Tokenizer)) *Tokenizer {
		tok := load(t, "testdata/cut_"+name+".json")
		f(tok)
		return tok
	}
	for want, tok := range map[string]*Tokenizer{
		"added token":            change("flags", func(*Tokenizer) {}),
		"normal form C is false": change("qwen3", func(t *Tokenizer) { t.nfc = false }),
		"ignore_merges is true":  change("deepseek_v3", func(t *Tokenizer) { t.ignoreMerges = true }),
		"2 tokens before texts":  change("llama3_1", func(t *Tokenizer) { t.prefix = append(t.prefix, t.prefix...) }),
		"which is not bos, 1":    change("llama3_1", func(t *Tokenizer) { t.roles = map[Role]int32{BOS: 1} }),
		"unknown token for byte": change("smollm2", func(t *Tokenizer) { t.unknown = 0 }),
		"pattern characters":     characters(t),
	} {
		if _, err := tok.ToGGUF(tok.Len()); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	tok := load(t, "testdata/cut_smollm2.json")
	if _, err := tok.ToGGUF(tok.Len() - 1); err == nil || !strings.Contains(err.Error(), "tokens, the model") {
		t.Errorf("error %v of a model with fewer tokens", err)
	}
}

func characters(t *testing.T) *Tokenizer {
	t.Helper()
	tok, err := New(Vocabulary{Tokens: []string{"a", "b"}, Pattern: Characters})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestIDsOfSmolLM2AreThoseOfTokenizers(t *testing.T) {
	path := os.Getenv("AHA_SMOLLM2")
	if path == "" {
		t.Skip("AHA_SMOLLM2 names no GGUF file of SmolLM2-135M-Instruct, which .ci/run fetches")
	}
	checkParity(t, load(t, path), read[expected](t, "smollm2.ids.json"))
}

func TestGGUFSaysWhatIsPutAroundTexts(t *testing.T) {
	tok := load(t, "testdata/cut_llama3_1.json")
	bos := tok.prefix[0]
	for _, c := range []struct {
		add  []any // the values of add_bos_token and add_eos_token
		want []int32
	}{
		{[]any{nil, nil}, []int32{bos}},
		{[]any{false, nil}, nil},
		{[]any{true, true}, []int32{bos, bos + 1}},
	} {
		m := append(without(metadata(t, tok), ggufAdd(BOS), ggufAdd(EOS)),
			gguf.KeyValue{Key: "tokenizer.ggml.eos_token_id", Value: bos + 1})
		for i, role := range []Role{BOS, EOS} {
			if c.add[i] != nil {
				m = append(m, gguf.KeyValue{Key: ggufAdd(role), Value: c.add[i]})
			}
		}
		got, err := FromGGUF(m)
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := got.Encode(""); err != nil || fmt.Sprint(ids) != fmt.Sprint(c.want) {
			t.Errorf("add %v: %v, error %v, want %v", c.add, ids, err, c.want)
		}
	}
}

func TestWhatGGUFLacksIsNamed(t *testing.T) {
	good := metadata(t, load(t, "testdata/cut_llama3_1.json"))
	for key, want := range map[string]error{ggufModel: gguf.ErrMissing, ggufPre: gguf.ErrMissing,
		ggufTokens: gguf.ErrMissing, ggufTypes: gguf.ErrMissing, ggufMerges: gguf.ErrMissing,
		"tokenizer.ggml.bos_token_id": gguf.ErrMissing} {
		if _, err := FromGGUF(without(good, key)); !errors.Is(err, want) || !strings.Contains(err.Error(), key) {
			t.Errorf("without %s: error %v, want %v", key, err, want)
		}
	}
	for key, c := range map[string]struct {
		value any
		want  string
	}{
		ggufModel:                     {"llama", `tokenizer.ggml.model "llama", want gpt2`},
		ggufPre:                       {"tekken", `tokenizer.ggml.pre "tekken"`},
		ggufTypes:                     {[]int32{1}, "token_type has 1 entries"},
		"tokenizer.ggml.bos_token_id": {int32(-1), "bos_token_id -1"},
	} {
		m := append(gguf.Metadata{}, good...)
		for i := range m {
			if m[i].Key == key {
				m[i].Value = c.value
			}
		}
		path := write(t, m)
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path+": ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: error %v, want %s", key, c.value, err, c.want)
		}
		if _, err := FromGGUF(m); errors.Is(err, ErrUnsupported) != (key == ggufModel || key == ggufPre) {
			t.Errorf("%s %v: error %v", key, c.value, err)
		}
	}
}
