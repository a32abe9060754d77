package tokenizer

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Encoder converts a text to ids while it is read, in memory that does not grow with the
// text.
//
// It cuts the text at places where the ids on one side do not depend on the other side: the
// beginning of a line, or the space, comma or full stop between two words. Text without
// such a place is kept in memory until one is found. The place after a line break that has
// no text before it does not count, and a vocabulary with merges and the pattern [Whole]
// has no such places at all.
type Encoder struct {
	t     *Tokenizer
	r     io.Reader
	seams seams
	size  int    // number of bytes to read before looking for a place to cut
	text  []byte // text that has been read but not encoded
	ids   []int32
	ended bool
}

// readAhead is the default size of an Encoder.
const readAhead = 64 << 10

// NewEncoder returns an encoder of the text that r reads.
func (t *Tokenizer) NewEncoder(r io.Reader) *Encoder {
	return &Encoder{t: t, r: r, seams: newSeams(t), size: readAhead}
}

// Next returns the next ids, which are valid until the next call, and io.EOF after the
// last. Joined together, they are the ids that [Tokenizer.Append] returns for the whole
// text. Other errors are those of the reader, or wrap [ErrUncovered]; the Encoder cannot
// continue after them.
func (e *Encoder) Next() ([]int32, error) {
	n := 0
	for size := e.size; n == 0; size *= 2 {
		if err := e.fill(size); err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		if e.ended {
			n = len(e.text)
			break
		}
		n = e.cut()
	}
	if n == 0 {
		return nil, io.EOF
	}
	var err error
	if e.ids, err = e.t.Append(e.ids[:0], string(e.text[:n])); err != nil {
		return nil, err
	}
	e.text = append(e.text[:0], e.text[n:]...)
	return e.ids, nil
}

// fill reads until there are size bytes of text or the text ends.
func (e *Encoder) fill(size int) error {
	for len(e.text) < size && !e.ended {
		if cap(e.text) < size {
			e.text = append(make([]byte, 0, size), e.text...)
		}
		n, err := e.r.Read(e.text[len(e.text):size])
		e.text = e.text[:len(e.text)+n]
		if e.ended = errors.Is(err, io.EOF); err != nil && !e.ended {
			return err
		}
	}
	return nil
}

// cut returns the last place where the text may be cut, or 0. At least two characters must
// follow it.
func (e *Encoder) cut() int {
	if e.t.pattern == Whole && e.t.ranks > 0 {
		return 0
	}
	for p := len(e.text) - 2*utf8.UTFMax; p > 1; p-- {
		before, after := e.text[p-1], e.text[p]
		if (before == '\n' && e.lineBegins(p) || e.wordEnds(p)) && !e.seams.touch(before, after) {
			return p
		}
	}
	return 0
}

// lineBegins reports whether there is text on both sides of the line break before p.
// Pre-tokenizers then match the line break alone or with punctuation before it.
func (e *Encoder) lineBegins(p int) bool {
	before, _ := utf8.DecodeLastRune(e.text[:p-1])
	after, _ := utf8.DecodeRune(e.text[p:])
	if e.t.classes.ofRune(before)&space != 0 || e.t.classes.ofRune(after)&(space|mark) != 0 {
		return false
	}
	// Normalization may change the byte after the line break, which seams use to detect
	// added tokens.
	return len(e.t.normalized.tokens) == 0 || e.text[p] < utf8.RuneSelf && e.text[p+1] < utf8.RuneSelf
}

// wordEnds reports whether p is between a word and a space, comma or full stop that another
// word follows. Pre-tokenizers end the word there.
func (e *Encoder) wordEnds(p int) bool {
	before, _ := utf8.DecodeLastRune(e.text[:p])
	between, n := utf8.DecodeRune(e.text[p:])
	switch between {
	case ' ', ',', '.', '，', '。', '、':
		after, _ := utf8.DecodeRune(e.text[p+n:])
		return plainLetter(before) && plainLetter(after)
	}
	return false
}

// plainLetter reports whether r is an ASCII letter or a Chinese character, which are
// letters for all pre-tokenizers.
func plainLetter(r rune) bool {
	return r|0x20 >= 'a' && r|0x20 <= 'z' || r >= 0x4e00 && r <= 0x9fa5
}

// seams detects, from the bytes on both sides of a cut, whether an added token may span it
// or depend on the other side.
type seams struct {
	inside      map[[2]byte]bool // pairs of adjacent bytes in tokens
	first, last [256]bool        // first and last bytes of tokens that depend on the characters next to them
}

func newSeams(t *Tokenizer) seams {
	s := seams{inside: map[[2]byte]bool{}}
	for _, list := range [][]Added{t.raw.tokens, t.normalized.tokens} {
		for _, a := range list {
			c := a.Content
			for i := 1; i < len(c); i++ {
				s.inside[[2]byte{c[i-1], c[i]}] = true
			}
			s.first[c[0]] = s.first[c[0]] || a.LStrip || a.SingleWord
			s.last[c[len(c)-1]] = s.last[c[len(c)-1]] || a.RStrip || a.SingleWord
		}
	}
	return s
}

// touch reports whether an added token may span the cut, or be next to it and depend on the
// other side.
func (s *seams) touch(before, after byte) bool {
	return s.last[before] || s.first[after] || s.inside[[2]byte{before, after}]
}
