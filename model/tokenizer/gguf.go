package tokenizer

import (
	"errors"
	"fmt"
	"maps"
	"slices"

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

// ggufRoles maps roles to the keys of their tokens.
var ggufRoles = map[Role]string{BOS: "tokenizer.ggml.bos_token_id", EOS: "tokenizer.ggml.eos_token_id",
	Unknown: "tokenizer.ggml.unknown_token_id", Pad: "tokenizer.ggml.padding_token_id"}

// ggufAdd returns the key that says whether the token of a role, BOS or EOS, is added to
// texts.
func ggufAdd(r Role) string { return "tokenizer.ggml.add_" + string(r) + "_token" }

// Types of tokens in GGUF.
const (
	ggufNormal  = 1
	ggufControl = 3
	ggufUser    = 4
	ggufUnused  = 5
)

// ggufPatterns maps further names that llama.cpp has for patterns.
var ggufPatterns = map[string]Pattern{"deepseek-r1-qwen": Qwen2, "llama3": Llama3, "llama-v3": Llama3}

// ggufSchemes are the settings that the name of a pattern implies in GGUF.
var ggufSchemes = map[Pattern]struct{ NFC, IgnoreMerges bool }{
	DeepSeekV3: {}, DeepSeekV2: {}, SmolLM2: {}, Qwen2: {NFC: true}, Llama3: {IgnoreMerges: true},
}

// FromGGUF makes the tokenizer that the metadata of a GGUF file describes. Settings that
// GGUF lacks are those of the models' own tokenizer.json: text for Qwen is normalized to
// NFC. An unsupported kind of tokenizer or pre-tokenizer is an error that wraps
// ErrUnsupported.
func FromGGUF(m gguf.Metadata) (*Tokenizer, error) {
	kind, err := gguf.Value[string](m, ggufModel)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if kind != "gpt2" {
		return nil, fmt.Errorf("tokenizer: %s %q, want gpt2, which is byte-level BPE: %w", ggufModel, shorten(kind),
			ErrUnsupported)
	}
	v := Vocabulary{}
	pre, err := gguf.Value[string](m, ggufPre)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if v.Pattern = ggufPatterns[pre]; v.Pattern == "" {
		v.Pattern = Pattern(pre)
	}
	fixed, known := ggufSchemes[v.Pattern]
	if !known {
		return nil, fmt.Errorf("tokenizer: %s %q: %w", ggufPre, shorten(pre), ErrUnsupported)
	}
	v.NFC, v.IgnoreMerges = fixed.NFC, fixed.IgnoreMerges
	if v.Merges, err = gguf.Value[[]string](m, ggufMerges); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if err := ggufVocabulary(&v, m); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	roles, err := ggufTokensOfRoles(m)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if v.Prefix, err = ggufAround(m, roles, BOS, v.Pattern == Llama3); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if v.Suffix, err = ggufAround(m, roles, EOS, false); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := New(v)
	if err != nil {
		return nil, err
	}
	if err := t.setRoles(roles); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

// loadGGUF is Load for a GGUF file.
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

// ggufVocabulary reads the tokens. Added tokens also belong to the model, as in files of
// SmolLM2, unless their text represents other bytes in the model's alphabet, such as "é".
// Unused tokens are left out.
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

// ggufTokensOfRoles returns the tokens that have roles.
func ggufTokensOfRoles(m gguf.Metadata) (map[Role]int32, error) {
	roles := map[Role]int32{}
	for _, role := range slices.Sorted(maps.Keys(ggufRoles)) {
		id, err := m.Int(ggufRoles[role])
		if errors.Is(err, gguf.ErrMissing) {
			continue
		} else if err == nil && (id < 0 || id >= maxTokens) {
			err = fmt.Errorf("%s %d, want 0 to %d", ggufRoles[role], id, maxTokens-1)
		}
		if err != nil {
			return nil, err
		}
		roles[role] = int32(id)
	}
	return roles, nil
}

// ggufAround returns the token of the role BOS or EOS if it is added to texts. If the
// metadata does not say whether it is, byDefault decides.
func ggufAround(m gguf.Metadata, roles map[Role]int32, role Role, byDefault bool) ([]int32, error) {
	add, err := gguf.Value[bool](m, ggufAdd(role))
	if errors.Is(err, gguf.ErrMissing) {
		add, err = byDefault, nil
	}
	if err != nil || !add {
		return nil, err
	}
	id, ok := roles[role]
	if !ok {
		return nil, fmt.Errorf("%s: %w", ggufRoles[role], gguf.ErrMissing)
	}
	return []int32{id}, nil
}
