package tokenizer

import (
	"errors"
	"fmt"

	"github.com/aha-go/aha/model/gguf"
)

// Keys of a tokenizer in the metadata of GGUF.
const (
	ggufModel  = "tokenizer.ggml.model"
	ggufPre    = "tokenizer.ggml.pre"
	ggufTokens = "tokenizer.ggml.tokens"
	ggufTypes  = "tokenizer.ggml.token_type"
	ggufMerges = "tokenizer.ggml.merges"
)

// Types of tokens in GGUF.
const (
	ggufControl = 3
	ggufUser    = 4
	ggufUnused  = 5
)

// ggufPatterns are the names that llama.cpp has for patterns beside Pattern's own.
var ggufPatterns = map[string]Pattern{"deepseek-r1-qwen": Qwen2, "llama3": Llama3, "llama-v3": Llama3}

// FromGGUF makes the tokenizer that the metadata of a GGUF file describe. What they leave out is as
// in the models' own tokenizer.json: Qwen's text is brought into the normal form C. An error about a
// kind of tokenizer or a pre-tokenizer that a Tokenizer does not support wraps ErrUnsupported.
func FromGGUF(m gguf.Metadata) (*Tokenizer, error) {
	kind, err := gguf.Value[string](m, ggufModel)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if kind != "gpt2" {
		return nil, fmt.Errorf("tokenizer: %s %q, want gpt2, byte-level BPE: %w", ggufModel, shorten(kind), ErrUnsupported)
	}
	v := Vocabulary{}
	pre, err := gguf.Value[string](m, ggufPre)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if v.Pattern = ggufPatterns[pre]; v.Pattern == "" {
		v.Pattern = Pattern(pre)
	}
	switch v.Pattern {
	case DeepSeekV3, DeepSeekV2, SmolLM2:
	case Qwen2:
		v.NFC = true
	case Llama3:
		v.IgnoreMerges = true
	default:
		return nil, fmt.Errorf("tokenizer: %s %q: %w", ggufPre, shorten(pre), ErrUnsupported)
	}
	if v.Merges, err = gguf.Value[[]string](m, ggufMerges); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if err := ggufVocabulary(&v, m); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if v.Prefix, err = ggufAround(m, "bos", v.Pattern == Llama3); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if v.Suffix, err = ggufAround(m, "eos", false); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return New(v)
}

// loadGGUF is Load of a GGUF file.
func loadGGUF(path string) (*Tokenizer, error) {
	r, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	defer r.Close()
	t, err := FromGGUF(r.Metadata)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// ggufVocabulary reads the tokens. Added ones are the model's too, as in files of SmolLM2, unless they mean
// other bytes in its alphabet, as "é" does; unused ones are none.
func ggufVocabulary(v *Vocabulary, m gguf.Metadata) error {
	tokens, err := gguf.Value[[]string](m, ggufTokens)
	if err != nil {
		return err
	}
	types, err := m.Ints(ggufTypes)
	if err != nil {
		return err
	}
	if len(types) != len(tokens) {
		return fmt.Errorf("%s has %d entries for %d tokens", ggufTypes, len(types), len(tokens))
	}
	v.Tokens = make([]string, len(tokens))
	for id, token := range tokens {
		switch types[id] {
		case ggufControl, ggufUser:
			v.Added = append(v.Added, Added{ID: int32(id), Content: token, Special: types[id] == ggufControl})
			if text, _ := bytesOf(token); text == token {
				v.Tokens[id] = token
			}
		case ggufUnused:
		default:
			v.Tokens[id] = token
		}
	}
	return nil
}

// ggufAround returns the token that is put before or after texts, "bos" or "eos"; none if the metadata
// say so, or if they say nothing and byDefault is false.
func ggufAround(m gguf.Metadata, name string, byDefault bool) ([]int32, error) {
	add, err := gguf.Value[bool](m, "tokenizer.ggml.add_"+name+"_token")
	if errors.Is(err, gguf.ErrMissing) {
		add, err = byDefault, nil
	}
	if err != nil || !add {
		return nil, err
	}
	id, err := m.Int("tokenizer.ggml." + name + "_token_id")
	if err == nil && (id < 0 || id >= maxTokens) {
		err = fmt.Errorf("%s_token_id %d, want 0 to %d", name, id, maxTokens-1)
	}
	return []int32{int32(id)}, err
}
