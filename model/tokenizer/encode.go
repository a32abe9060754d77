package tokenizer

import (
	"fmt"
	"hash/maphash"
	"unicode/utf8"
)

// worker holds the memory for encoding a text: a cache of pieces, and the parts of the
// current piece.
type worker struct {
	cache  cache
	merger merger
}

func newWorker() *worker { return &worker{cache: cache{seed: maphash.MakeSeed()}} }

// maxParts is the largest number of parts, of 24 bytes each, that a worker keeps allocated
// between pieces.
const maxParts = 1 << 16

// Encode returns the ids of text, with the tokens that the file adds before and after it,
// such as BOS.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	ids := append(make([]int32, 0, len(t.prefix)+len(t.suffix)+len(text)/3+1), t.prefix...)
	ids, err := t.Append(ids, text)
	if err != nil {
		return nil, err
	}
	return append(ids, t.suffix...), nil
}

// Append appends the ids of text to ids, without adding tokens such as BOS, for texts that
// include them already, such as rendered chats. If ids has enough capacity, Append does not
// allocate memory unless text needs normalization. An error wraps ErrUncovered.
func (t *Tokenizer) Append(ids []int32, text string) ([]int32, error) {
	w := t.workers.Get().(*worker)
	defer t.workers.Put(w)
	var err error
	for at := 0; at < len(text); {
		token, begin, end := t.raw.next(text, at)
		if ids, err = t.normalize(w, ids, text[at:begin]); err != nil {
			return nil, err
		}
		if token != nil {
			ids = append(ids, token.ID)
		}
		at = end
	}
	return ids, nil
}

// normalize appends the ids of a part of the text that contains no raw added tokens.
func (t *Tokenizer) normalize(w *worker, ids []int32, text string) ([]int32, error) {
	if t.nfc {
		text = nfc(text)
	}
	var err error
	for at := 0; at < len(text); {
		token, begin, end := t.normalized.next(text, at)
		if ids, err = t.split(w, ids, text[at:begin], t.finders); err != nil {
			return nil, err
		}
		if token != nil {
			ids = append(ids, token.ID)
		}
		at = end
	}
	return ids, nil
}

// split appends the ids of text after splitting it with the finders.
func (t *Tokenizer) split(w *worker, ids []int32, text string, finders []finder) ([]int32, error) {
	if len(finders) == 0 {
		return t.piece(w, ids, text)
	}
	var err error
	for at := 0; at < len(text); {
		begin, end := finders[0](t.classes, text, at)
		if begin > at {
			if ids, err = t.split(w, ids, text[at:begin], finders[1:]); err != nil {
				return nil, err
			}
		}
		if end > begin {
			if ids, err = t.split(w, ids, text[begin:end], finders[1:]); err != nil {
				return nil, err
			}
		}
		at = end
	}
	return ids, nil
}

// piece appends the ids of a piece.
func (t *Tokenizer) piece(w *worker, ids []int32, piece string) ([]int32, error) {
	switch {
	case piece == "":
		return ids, nil
	case t.pattern == Characters:
		return t.characters(ids, piece)
	case t.ranks == 0:
		return t.bytewise(ids, piece)
	case len(piece) > len(cached{}.piece):
		return t.merge(w, ids, piece)
	}
	found, set := w.cache.find(piece)
	if found != nil {
		return append(ids, found.ids[:found.count]...), nil
	}
	n := len(ids)
	ids, err := t.merge(w, ids, piece)
	if err == nil {
		w.cache.put(set, piece, ids[n:])
	}
	return ids, err
}

// merge appends the tokens into which BPE merges a piece.
func (t *Tokenizer) merge(w *worker, ids []int32, piece string) ([]int32, error) {
	if t.ignoreMerges {
		if id, ok := t.ids[piece]; ok {
			return append(ids, id), nil
		}
	}
	m := &w.merger
	m.parts = m.parts[:0]
	for i := range len(piece) {
		id, err := t.byte(piece, i)
		if err != nil {
			return nil, err
		}
		m.parts = append(m.parts, part{id: id})
	}
	ids = m.merge(ids, &t.merges)
	if cap(m.parts) > maxParts {
		*m = merger{}
	}
	return ids, nil
}

// byte returns the token of a byte of a piece.
func (t *Tokenizer) byte(piece string, i int) (int32, error) {
	if id := t.bytes[piece[i]]; id >= 0 {
		return id, nil
	} else if t.unknown >= 0 {
		return t.unknown, nil
	}
	return 0, fmt.Errorf("tokenizer: byte %#02x in %q: %w", piece[i], shorten(piece), ErrUncovered)
}

// bytewise appends the tokens of a vocabulary of bytes.
func (t *Tokenizer) bytewise(ids []int32, piece string) ([]int32, error) {
	for i := range len(piece) {
		id, err := t.byte(piece, i)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// characters appends the tokens of a vocabulary of characters.
func (t *Tokenizer) characters(ids []int32, piece string) ([]int32, error) {
	for i := 0; i < len(piece); {
		_, n := utf8.DecodeRuneInString(piece[i:])
		id, ok := t.ids[piece[i:i+n]]
		if !ok && t.unknown < 0 {
			return nil, fmt.Errorf("tokenizer: character %q after %q: %w", piece[i:i+n], piece[max(0, i-20):i], ErrUncovered)
		} else if !ok {
			id = t.unknown
		}
		ids = append(ids, id)
		i += n
	}
	return ids, nil
}
