package tokenizer

import "unicode/utf8"

// Decoder converts ids to text one at a time.
type Decoder struct {
	t           *Tokenizer
	skipSpecial bool
	held        []byte // incomplete character at the end of the text
}

// NewDecoder returns a decoder for a new text. With skipSpecial, it leaves special tokens
// out.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{t: t, skipSpecial: skipSpecial}
}

// Next returns the text that id completes. The text never ends inside a character: an
// incomplete character is held back until the next call. Bytes that cannot belong to a
// character are returned as they are.
func (d *Decoder) Next(id int32) string {
	if d.skipSpecial && d.t.Special(id) {
		return ""
	}
	d.held = append(d.held, d.t.text(id)...)
	n := len(d.held) - incomplete(d.held)
	text := string(d.held[:n])
	d.held = append(d.held[:0], d.held[n:]...)
	return text
}

// Rest returns the text that is held back at the end.
func (d *Decoder) Rest() string {
	text := string(d.held)
	d.held = d.held[:0]
	return text
}

// incomplete returns the number of bytes at the end of b that may be the beginning of a
// character.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
