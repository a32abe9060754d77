package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// joiner is the character that package norm inserts into runs of more than 30 combining
// marks; NFC itself does not.
const joiner = "\u034f"

// laterMarks are the combining marks added since Unicode 10, and the letter that composes
// since then. tokenizers normalizes by Unicode 9, in which they are not marks: nothing is
// reordered across them.
var laterMarks = ranges([][2]uint32{
	{0x7fd, 0x7fd}, {0x898, 0x89f}, {0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c}, {0xd3b, 0xd3c}, {0xeba, 0xeba},
	{0x1715, 0x1715}, {0x1abf, 0x1ace}, {0x1df6, 0x1dfa}, {0xa82c, 0xa82c}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac},
	{0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b},
	{0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930}, {0x1193d, 0x1193e}, {0x11943, 0x11943},
	{0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42},
	{0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f},
	{0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
}...)

// nfc returns the normal form C of s. Bytes that do not belong to a character are kept.
func nfc(s string) string {
	if n := norm.NFC.QuickSpanString(s); n == len(s) {
		return s
	}
	var text strings.Builder
	for {
		at := strings.IndexFunc(s, func(r rune) bool { return r >= 0x300 && unicode.Is(laterMarks, r) })
		if at < 0 {
			break
		}
		_, n := utf8.DecodeRuneInString(s[at:])
		text.WriteString(normalForm(s[:at]))
		text.WriteString(s[at : at+n])
		s = s[at+n:]
	}
	if text.Len() == 0 {
		return normalForm(s)
	}
	text.WriteString(normalForm(s))
	return text.String()
}

// normalForm returns the NFC of characters of Unicode 9.
func normalForm(s string) string {
	normal := norm.NFC.String(s)
	if strings.Count(normal, joiner) == strings.Count(s, joiner) {
		return normal
	}
	return longRuns(s)
}

// longRuns is normalForm by its definition: decompose, sort marks by combining class,
// compose.
func longRuns(s string) string {
	type char struct {
		text string
		ccc  uint8
	}
	var chars []char
	for len(s) > 0 {
		p := norm.NFD.PropertiesString(s)
		n := p.Size()
		if n == 0 { // an incomplete character at the end
			n = 1
		}
		text := s[:n]
		if d := p.Decomposition(); d != nil {
			text = string(d)
		} else if r, _ := utf8.DecodeRuneInString(text); r >= 0xac00 && r <= 0xd7a3 {
			text = norm.NFD.String(text) // Hangul syllables are not in the tables
		}
		for len(text) > 0 {
			_, n := utf8.DecodeRuneInString(text)
			chars = append(chars, char{text[:n], norm.NFD.PropertiesString(text).CCC()})
			text = text[n:]
		}
		s = s[n:]
	}
	for i := 0; i < len(chars); {
		j := i
		for j < len(chars) && chars[j].ccc != 0 {
			j++
		}
		slices.SortStableFunc(chars[i:j], func(a, b char) int { return int(a.ccc) - int(b.ccc) })
		i = max(j, i+1)
	}
	out := make([]char, 0, len(chars))
	starter := -1
	for _, c := range chars {
		last := len(out) - 1
		if starter >= 0 && (last == starter || out[last].ccc != 0 && out[last].ccc < c.ccc) {
			if both := norm.NFC.String(out[starter].text + c.text); utf8.RuneCountInString(both) == 1 {
				out[starter].text = both
				continue
			}
		}
		if c.ccc == 0 {
			starter = len(out)
		}
		out = append(out, c)
	}
	var text strings.Builder
	for _, c := range out {
		text.WriteString(c.text)
	}
	return text.String()
}
