package tokenizer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/gguf"
	"github.com/google/go-cmp/cmp"
)

// metadata are those that llama.cpp's converter writes of a tokenizer.
func metadata(t *Tokenizer, pre string) gguf.Metadata {
	var tokens []string
	var types []int32
	for id, text := range t.texts {
		token, kind := t.token(int32(id), text), int32(1)
		switch k := t.kinds[id]; {
		case k&isSpecial != 0:
			token, kind = text, ggufControl
		case k&isAdded != 0:
			token, kind = text, ggufUser
		case k == 0:
			token, kind = fmt.Sprintf("[PAD%d]", id), ggufUnused
		}
		tokens, types = append(tokens, token), append(types, kind)
	}
	m := gguf.Metadata{{Key: ggufModel, Value: "gpt2"}, {Key: ggufPre, Value: pre}, {Key: ggufTokens, Value: tokens},
		{Key: ggufTypes, Value: types}, {Key: ggufMerges, Value: t.mergeList()}}
	if len(t.prefix) > 0 {
		m = append(m, gguf.KeyValue{Key: "tokenizer.ggml.bos_token_id", Value: uint32(t.prefix[0])})
	}
	return m
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
	for name, pre := range map[string]string{"deepseek_v3": "deepseek-v3", "deepseek_v2": "deepseek-llm", "qwen3": "qwen2",
		"llama3_1": "llama-bpe", "smollm2": "smollm"} {
		t.Run(name, func(t *testing.T) {
			path := write(t, metadata(load(t, "testdata/cut_"+name+".json"), pre))
			checkParity(t, load(t, path), read[expected](t, "cut_"+name+".ids.json"))
		})
	}
}

// The library tokenizers gives added tokens that the model lacks new ids: they must be in the file's model.
func TestTokenizersOfGGUFAreSaved(t *testing.T) {
	tok := load(t, "testdata/cut_smollm2.json")
	want, err := tok.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	fromGGUF, err := FromGGUF(metadata(tok, "smollm"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fromGGUF.MarshalJSON(); err != nil || string(got) != string(want) {
		t.Errorf("error %v (-want +got):\n%s", err, cmp.Diff(string(want), string(got)))
	}
	m := metadata(load(t, "testdata/cut_llama3_1.json"), "llama-bpe")
	m[2].Value = append(m[2].Value.([]string), "é")
	m[3].Value = append(m[3].Value.([]int32), ggufUser)
	if fromGGUF, err = FromGGUF(m); err != nil {
		t.Fatal(err)
	}
	if ids, err := fromGGUF.Append(nil, "é"); err != nil || len(ids) != 1 || fromGGUF.Decode(ids) != "é" {
		t.Errorf("ids %v of an added é, error %v", ids, err)
	}
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
		m := append(metadata(tok, "llama-bpe"), gguf.KeyValue{Key: "tokenizer.ggml.eos_token_id", Value: bos + 1})
		for i, key := range []string{"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"} {
			if c.add[i] != nil {
				m = append(m, gguf.KeyValue{Key: key, Value: c.add[i]})
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
	good := metadata(load(t, "testdata/cut_llama3_1.json"), "llama-bpe")
	for key, want := range map[string]error{ggufModel: gguf.ErrMissing, ggufPre: gguf.ErrMissing,
		ggufTokens: gguf.ErrMissing, ggufTypes: gguf.ErrMissing, ggufMerges: gguf.ErrMissing,
		"tokenizer.ggml.bos_token_id": gguf.ErrMissing} {
		var m gguf.Metadata
		for _, kv := range good {
			if kv.Key != key {
				m = append(m, kv)
			}
		}
		if _, err := FromGGUF(m); !errors.Is(err, want) || !strings.Contains(err.Error(), key) {
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
