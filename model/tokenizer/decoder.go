package tokenizer

import "unicode/utf8"

// Decoder turns ids into text as they come.
type Decoder struct {
	t           *Tokenizer
	skipSpecial bool
	held        []byte // the beginning of a character
}

// NewDecoder returns a decoder at the beginning of a text. With skipSpecial it leaves special tokens out.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{t: t, skipSpecial: skipSpecial}
}

// Next returns the text that id completes. It never ends inside a character: the beginning of one is held
// back. Bytes that can be part of no character are returned as they are.
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

// Rest returns what is held back at the end of a text.
func (d *Decoder) Rest() string {
	text := string(d.held)
	d.held = d.held[:0]
	return text
}

// incomplete returns how many bytes at the end of b may be the beginning of a character.
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
