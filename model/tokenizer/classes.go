package tokenizer

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is a set of the character properties that pre-tokenizers use.
type class uint16

const (
	letter      class = 1 << iota // \p{L}
	mark                          // \p{M}
	number                        // \p{N}
	punctuation                   // \p{P}
	symbol                        // \p{S}
	space                         // \s
	numeric                       // Rust's char::is_numeric: \p{N} of a later Unicode
	cjk                           // U+4E00–U+9FA5, U+3040–U+30FF
	cased                         // casedLetters
	fullWidth                     // asciiAndFullWidth
	uncased                       // uncasedScripts
)

// classes holds the class of every character: classes.pages[r>>8] is the page of r.
type classes struct {
	pages [(unicode.MaxRune + 1) >> 8]*[256]class
}

// of returns the class of the character at the start of s, and its length in bytes. A byte
// that does not belong to a character has the class of U+FFFD.
func (c *classes) of(s string) (class, int) {
	if b := s[0]; b < utf8.RuneSelf {
		return c.pages[0][b], 1
	}
	r, n := utf8.DecodeRuneInString(s)
	return c.ofRune(r), n
}

// ofRune returns the class of a character.
func (c *classes) ofRune(r rune) class { return c.pages[r>>8][r&255] }

// unicodeClasses returns the classes of all characters.
var unicodeClasses = sync.OnceValue(func() *classes {
	c := &classes{}
	empty := &[256]class{}
	for i := range c.pages {
		c.pages[i] = empty
	}
	add := func(is class, tables ...*unicode.RangeTable) {
		for _, table := range tables {
			for _, r := range table.R16 {
				c.add(empty, is, rune(r.Lo), rune(r.Hi), rune(r.Stride))
			}
			for _, r := range table.R32 {
				c.add(empty, is, rune(r.Lo), rune(r.Hi), rune(r.Stride))
			}
		}
	}
	add(letter, unicode.L, unicode16L)
	add(mark, unicode.M, unicode16M)
	add(number, unicode.N, unicode16N)
	add(numeric, unicode.N, unicode16N, unicode17N)
	add(punctuation, unicode.P, unicode16P)
	add(symbol, unicode.S, unicode16S)
	add(space, unicode.White_Space)
	for is, list := range map[class]bracket{cjk: {{0x4e00, 0x9fa5}, {0x3040, 0x30ff}}, cased: casedLetters,
		fullWidth: asciiAndFullWidth, uncased: uncasedScripts} {
		for _, pair := range list {
			c.add(empty, is, pair[0], pair[1], 1)
		}
	}
	return c
})

// add adds the class is to lo, lo+stride, … hi.
func (c *classes) add(empty *[256]class, is class, lo, hi, stride rune) {
	for r := lo; r <= hi; r += stride {
		if c.pages[r>>8] == empty {
			c.pages[r>>8] = new([256]class)
		}
		c.pages[r>>8][r&255] |= is
	}
}

// ranges returns a table of the characters in pairs of first and last.
func ranges(pairs ...[2]uint32) *unicode.RangeTable {
	t := &unicode.RangeTable{}
	for _, p := range pairs {
		t.R32 = append(t.R32, unicode.Range32{Lo: p[0], Hi: p[1], Stride: 1})
	}
	return t
}

// These characters are in Unicode 16, which the regular expressions in tokenizers use, but
// not in Unicode 15.0 of Go 1.26, or in Unicode 17, which Rust's characters use, but not in
// Unicode 16.
var (
	unicode16L = ranges([][2]uint32{
		{0x1c89, 0x1c8a}, {0xa7cb, 0xa7cd}, {0xa7da, 0xa7dc}, {0x105c0, 0x105f3}, {0x10d4a, 0x10d65},
		{0x10d6f, 0x10d85}, {0x10ec2, 0x10ec4}, {0x11380, 0x11389}, {0x1138b, 0x1138b}, {0x1138e, 0x1138e},
		{0x11390, 0x113b5}, {0x113b7, 0x113b7}, {0x113d1, 0x113d1}, {0x113d3, 0x113d3}, {0x11bc0, 0x11be0},
		{0x13460, 0x143fa}, {0x16100, 0x1611d}, {0x16d40, 0x16d6c}, {0x18cff, 0x18cff}, {0x1e5d0, 0x1e5ed},
		{0x1e5f0, 0x1e5f0}, {0x2ebf0, 0x2ee5d},
	}...)
	unicode16N = ranges([][2]uint32{
		{0x10d40, 0x10d49}, {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9}, {0x16130, 0x16139}, {0x16d70, 0x16d79},
		{0x1ccf0, 0x1ccf9}, {0x1e5f1, 0x1e5fa},
	}...)
	unicode16P = ranges([][2]uint32{
		{0x1b4e, 0x1b4f}, {0x1b7f, 0x1b7f}, {0x10d6e, 0x10d6e}, {0x113d4, 0x113d5}, {0x113d7, 0x113d8},
		{0x11be1, 0x11be1}, {0x16d6d, 0x16d6f}, {0x1e5ff, 0x1e5ff},
	}...)
	unicode16S = ranges([][2]uint32{
		{0x2427, 0x2429}, {0x2ffc, 0x2fff}, {0x31e4, 0x31e5}, {0x31ef, 0x31ef}, {0x10d8e, 0x10d8f},
		{0x1cc00, 0x1ccef}, {0x1cd00, 0x1ceb3}, {0x1f8b2, 0x1f8bb}, {0x1f8c0, 0x1f8c1}, {0x1fa89, 0x1fa89},
		{0x1fa8f, 0x1fa8f}, {0x1fabe, 0x1fabe}, {0x1fac6, 0x1fac6}, {0x1fadc, 0x1fadc}, {0x1fadf, 0x1fadf},
		{0x1fae9, 0x1fae9}, {0x1fbcb, 0x1fbef},
	}...)
	unicode16M = ranges([][2]uint32{
		{0x897, 0x897}, {0x10d69, 0x10d6d}, {0x10efc, 0x10efc}, {0x113b8, 0x113c0}, {0x113c2, 0x113c2},
		{0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113d0}, {0x113d2, 0x113d2}, {0x113e1, 0x113e2},
		{0x11f5a, 0x11f5a}, {0x1611e, 0x1612f}, {0x1e5ee, 0x1e5ef},
	}...)
	unicode17N = ranges([2]uint32{0x11de0, 0x11de9}, [2]uint32{0x16ff4, 0x16ff6})
)
