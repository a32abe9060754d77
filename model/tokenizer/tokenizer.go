package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

// ErrUnsupported is wrapped by errors about tokenizers that this package does not
// implement.
var ErrUnsupported = errors.New("not supported")

// ErrUncovered is wrapped by errors about text for which a vocabulary has no token.
var ErrUncovered = errors.New("not in the vocabulary")

// Vocabulary describes a tokenizer for [New].
type Vocabulary struct {
	// Tokens are the model's tokens by id, in the alphabet of byte-level BPE ("Ġthe" is "
	// the"), or as plain text with Pattern Characters. "" means that the id has no token.
	Tokens []string
	// Merges are pairs of tokens, such as "Ġt he", in order of rank.
	Merges []string
	// Pattern splits the text; it is required.
	Pattern Pattern
	// IgnoreMerges encodes a piece that is a token as that token, without merges.
	IgnoreMerges bool
	// NFC normalizes text to Unicode's normal form C first.
	NFC bool
	// Unknown is the token for bytes without a token; if "", such bytes are an error of
	// Encode.
	Unknown string
	// Added tokens are found in the text before it is split. They may have the ids of
	// tokens with the same text.
	Added []Added
	// Prefix and Suffix are the ids that Encode adds before and after a text, such as BOS.
	Prefix, Suffix []int32
}

// Tokenizer encodes and decodes text. Its methods may be called concurrently.
type Tokenizer struct {
	pattern      Pattern
	finders      []finder
	ignoreMerges bool
	nfc          bool
	unknown      int32 // -1 if there is none

	texts  []string // decoded text by id
	kinds  []kind   // by id
	ids    map[string]int32
	bytes  [256]int32 // token of each byte; -1 if there is none
	merges mergeTable
	ranks  int // number of merges

	raw, normalized addedTokens // added tokens matched before and after normalization
	added           map[string]Added
	prefix, suffix  []int32
	roles           map[Role]int32

	classes *classes
	workers sync.Pool // of *worker
}

// kind describes an id.
type kind uint8

const (
	inModel kind = 1 << iota // a token of the model
	literal                  // whose text is not in the alphabet of bytes
	isAdded
	isSpecial
)

// Limits on memory and time, far above the sizes of real files.
const (
	maxTokens  = 1 << 21 // ids
	maxContent = 256     // bytes of an added token's text
	maxAround  = 64      // ids added before and after a text
)

// New makes a tokenizer. Errors name the token, merge or added token at fault.
func New(v Vocabulary) (*Tokenizer, error) {
	s, known := schemes[v.Pattern]
	if !known {
		return nil, fmt.Errorf("tokenizer: pattern %q: %w", v.Pattern, ErrUnsupported)
	}
	t := &Tokenizer{pattern: v.Pattern, finders: s.finders, ignoreMerges: v.IgnoreMerges, nfc: v.NFC, unknown: -1,
		ids: make(map[string]int32, len(v.Tokens)), added: map[string]Added{}, prefix: v.Prefix, suffix: v.Suffix,
		classes: unicodeClasses()}
	t.workers.New = func() any { return newWorker() }
	if err := t.addTokens(v.Tokens); err != nil {
		return nil, err
	}
	if err := t.addMerges(v.Tokens, v.Merges); err != nil {
		return nil, err
	}
	if err := t.addAdded(v.Added); err != nil {
		return nil, err
	}
	if v.Unknown != "" {
		id, ok := t.ID(v.Unknown)
		if !ok {
			return nil, fmt.Errorf("tokenizer: unknown token %q: %w", shorten(v.Unknown), ErrUncovered)
		}
		t.unknown = id
	}
	if n := len(v.Prefix) + len(v.Suffix); n > maxAround {
		return nil, fmt.Errorf("tokenizer: %d ids are put around texts, at most %d", n, maxAround)
	}
	for _, id := range append(append([]int32{}, v.Prefix...), v.Suffix...) {
		if id < 0 || int(id) >= len(t.texts) || t.kinds[id] == 0 {
			return nil, fmt.Errorf("tokenizer: id %d is put around texts and has no token", id)
		}
	}
	return t, nil
}

// addTokens sets texts, ids and bytes.
func (t *Tokenizer) addTokens(tokens []string) error {
	if len(tokens) > maxTokens {
		return fmt.Errorf("tokenizer: %d tokens, at most %d", len(tokens), maxTokens)
	}
	t.texts, t.kinds = make([]string, len(tokens)), make([]kind, len(tokens))
	for b := range t.bytes {
		t.bytes[b] = -1
	}
	literals := map[string]int32{}
	for id, token := range tokens {
		if token == "" {
			continue
		}
		text, inAlphabet := token, true
		if t.pattern != Characters {
			text, inAlphabet = bytesOf(token)
		}
		t.texts[id], t.kinds[id] = text, inModel
		ids := t.ids
		if !inAlphabet {
			ids = literals
			t.kinds[id] |= literal
		}
		if other, twice := ids[text]; twice {
			return fmt.Errorf("tokenizer: token %q has the ids %d and %d", shorten(token), other, id)
		}
		ids[text] = int32(id)
		if !inAlphabet {
			continue
		}
		if len(text) == 1 {
			t.bytes[text[0]] = int32(id)
		}
	}
	return nil
}

// addMerges fills the table of merges.
func (t *Tokenizer) addMerges(tokens, merges []string) error {
	t.merges, t.ranks = newMergeTable(len(merges)), len(merges)
	if len(merges) == 0 {
		return nil
	}
	if t.pattern == Characters {
		return fmt.Errorf("tokenizer: merges of characters: %w", ErrUnsupported)
	}
	ids := make(map[string]int32, len(tokens))
	for id, token := range tokens {
		ids[token] = int32(id)
	}
	delete(ids, "")
	for rank, text := range merges {
		left, right, _ := strings.Cut(text, " ")
		both := left + right
		for _, part := range []string{left, right, both} {
			if _, ok := ids[part]; !ok || strings.Contains(right, " ") {
				return fmt.Errorf("tokenizer: merge %d, %q: %q: %w", rank, shorten(text), shorten(part), ErrUncovered)
			}
		}
		pair := pairOf(ids[left], ids[right])
		*t.merges.slot(pair) = merge{pair, uint32(rank), ids[both]}
	}
	return nil
}

// addAdded sets the added tokens.
func (t *Tokenizer) addAdded(list []Added) error {
	var raw, normalized []Added
	for _, a := range list {
		content := a.Content
		if a.Normalized && t.nfc {
			content = nfc(content)
		}
		switch {
		case content == "":
			return fmt.Errorf("tokenizer: added token %d has no content", a.ID)
		case len(content) > maxContent:
			return fmt.Errorf("tokenizer: added token %q has %d bytes, at most %d", shorten(a.Content), len(content), maxContent)
		case a.ID < 0 || a.ID >= maxTokens:
			return fmt.Errorf("tokenizer: added token %q has id %d, want 0 to %d", shorten(a.Content), a.ID, maxTokens-1)
		}
		if other, twice := t.added[a.Content]; twice {
			return fmt.Errorf("tokenizer: added token %q has the ids %d and %d", shorten(a.Content), other.ID, a.ID)
		}
		for int(a.ID) >= len(t.texts) {
			t.texts, t.kinds = append(t.texts, ""), append(t.kinds, 0)
		}
		if has := t.texts[a.ID]; t.kinds[a.ID] != 0 && has != a.Content {
			return fmt.Errorf("tokenizer: id %d is of %q and of the added token %q", a.ID, shorten(has), shorten(a.Content))
		}
		t.added[a.Content] = a
		t.texts[a.ID] = a.Content
		t.kinds[a.ID] |= isAdded
		if a.Special {
			t.kinds[a.ID] |= isSpecial
		}
		a.Content = content
		if a.Normalized {
			normalized = append(normalized, a)
		} else {
			raw = append(raw, a)
		}
	}
	t.raw, t.normalized = newAddedTokens(raw), newAddedTokens(normalized)
	return nil
}

// Len returns the number of ids: the largest id plus one. Models may have more ids, which
// decode to U+FFFD.
func (t *Tokenizer) Len() int { return len(t.texts) }

// ID returns the id of the added token with the given text or, if there is none, of the
// token that decodes to it.
func (t *Tokenizer) ID(text string) (int32, bool) {
	if a, ok := t.added[text]; ok {
		return a.ID, true
	}
	id, ok := t.ids[text]
	return id, ok
}

// Special reports whether id is a special token, such as BOS.
func (t *Tokenizer) Special(id int32) bool {
	return id >= 0 && int(id) < len(t.kinds) && t.kinds[id]&isSpecial != 0
}

// text returns the bytes of a token.
func (t *Tokenizer) text(id int32) string {
	if id < 0 || int(id) >= len(t.texts) || t.kinds[id] == 0 {
		return string(utf8.RuneError)
	}
	return t.texts[id]
}

// Decode returns the text of ids, including special tokens. An id without a token becomes
// U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	n := 0
	for _, id := range ids {
		n += len(t.text(id))
	}
	var text strings.Builder
	text.Grow(n)
	for _, id := range ids {
		text.WriteString(t.text(id))
	}
	return text.String()
}
