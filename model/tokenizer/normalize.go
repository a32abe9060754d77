package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// joiner is what package norm puts into runs of more than 30 combining marks, which NFC does not.
const joiner = "\u034f"

// nfc returns the normal form C of s. Bytes that are no character stay.
func nfc(s string) string {
	n := norm.NFC.QuickSpanString(s)
	if n == len(s) {
		return s
	}
	normal := norm.NFC.String(s)
	if strings.Count(normal, joiner) == strings.Count(s, joiner) {
		return normal
	}
	return longRuns(s)
}

// longRuns is nfc by the definition: decompose, sort marks by their class, compose.
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
			text = norm.NFD.String(text) // Hangul has no table
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
