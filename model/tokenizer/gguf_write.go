package tokenizer

import (
	"fmt"

	"github.com/aha-go/aha/model/gguf"
)

// ToGGUF returns the GGUF metadata from which [FromGGUF] and llama.cpp make the tokenizer,
// for a model with an embedding of vocab rows. Rows without a token are marked as unused. A
// tokenizer that GGUF cannot express is an error that wraps ErrUnsupported.
func (t *Tokenizer) ToGGUF(vocab int) (gguf.Metadata, error) {
	if err := t.fitsGGUF(vocab); err != nil {
		return nil, fmt.Errorf("tokenizer: GGUF: %w", err)
	}
	tokens, types := make([]string, vocab), make([]int32, vocab)
	for id := range tokens {
		tokens[id], types[id] = t.ggufToken(id)
	}
	m := gguf.Metadata{{Key: ggufModel, Value: "gpt2"}, {Key: ggufPre, Value: string(t.pattern)},
		{Key: ggufTokens, Value: tokens}, {Key: ggufTypes, Value: types}, {Key: ggufMerges, Value: t.mergeList()}}
	for _, around := range []struct {
		role Role
		ids  []int32
	}{{BOS, t.prefix}, {EOS, t.suffix}} {
		if len(around.ids) > 0 {
			m = append(m, gguf.KeyValue{Key: ggufRoles[around.role], Value: uint32(around.ids[0])})
		} else if id, ok := t.roles[around.role]; ok {
			m = append(m, gguf.KeyValue{Key: ggufRoles[around.role], Value: uint32(id)})
		}
		m = append(m, gguf.KeyValue{Key: ggufAdd(around.role), Value: len(around.ids) > 0})
	}
	for _, role := range []Role{Unknown, Pad} {
		if id, ok := t.roles[role]; ok {
			m = append(m, gguf.KeyValue{Key: ggufRoles[role], Value: uint32(id)})
		}
	}
	return m, nil
}

// ggufToken returns the text and type of token id in a GGUF file.
func (t *Tokenizer) ggufToken(id int) (token string, kind int32) {
	if id >= len(t.texts) || t.kinds[id] == 0 {
		return fmt.Sprintf("[PAD%d]", id), ggufUnused // llama.cpp requires distinct texts
	}
	switch text := t.texts[id]; {
	case t.kinds[id]&isSpecial != 0:
		return text, ggufControl
	case t.kinds[id]&isAdded != 0:
		return text, ggufUser
	default:
		return t.token(int32(id), text), ggufNormal
	}
}

// fitsGGUF returns an error for a tokenizer that GGUF cannot express.
func (t *Tokenizer) fitsGGUF(vocab int) error {
	no := func(what string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(what, args...), ErrUnsupported)
	}
	fixed, known := ggufSchemes[t.pattern]
	switch {
	case !known:
		return no("pattern %s", t.pattern)
	case len(t.texts) > vocab:
		return fmt.Errorf("the tokenizer has %d tokens, the model %d", len(t.texts), vocab)
	case t.nfc != fixed.NFC:
		return no("normal form C is %t, with pattern %s it is %t", t.nfc, t.pattern, fixed.NFC)
	case t.ignoreMerges != fixed.IgnoreMerges:
		return no("ignore_merges is %t, with pattern %s it is %t", t.ignoreMerges, t.pattern, fixed.IgnoreMerges)
	case len(t.prefix) > 1 || len(t.suffix) > 1:
		return no("%d tokens before texts and %d after them", len(t.prefix), len(t.suffix))
	case t.ranks == 0:
		return no("a vocabulary without merges")
	}
	for _, around := range []struct {
		role Role
		ids  []int32
	}{{BOS, t.prefix}, {EOS, t.suffix}} {
		if id, ok := t.roles[around.role]; ok && len(around.ids) > 0 && id != around.ids[0] {
			return no("token %d around texts, which is not %s, %d", around.ids[0], around.role, id)
		}
	}
	for b, id := range t.bytes {
		if id < 0 && t.unknown >= 0 {
			return no("an unknown token for byte %#02x", b)
		}
	}
	for _, a := range t.added {
		if a.SingleWord || a.LStrip || a.RStrip || a.Normalized && t.nfc {
			return no("single_word, lstrip, rstrip or normalized of the added token %q", shorten(a.Content))
		}
	}
	return nil
}
