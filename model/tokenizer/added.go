package tokenizer

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Added is a token that is found in the text before the text is split and merged.
type Added struct {
	ID      int32  `json:"id"`
	Content string `json:"content"`
	// SingleWord matches only if no letter, digit or underscore is next to the token.
	SingleWord bool `json:"single_word"`
	// LStrip and RStrip include the white space before and after the token in the match.
	LStrip bool `json:"lstrip"`
	RStrip bool `json:"rstrip"`
	// Normalized matches in the text after Unicode normalization instead of before.
	Normalized bool `json:"normalized"`
	// Special marks control tokens, which [Decoder] can leave out.
	Special bool `json:"special"`
}

// addedTokens finds added tokens; tokens is sorted by content.
type addedTokens struct {
	tokens []Added
	first  [256]bool // the first bytes of the contents
}

func newAddedTokens(tokens []Added) addedTokens {
	a := addedTokens{tokens: tokens}
	slices.SortFunc(a.tokens, func(x, y Added) int { return cmp.Compare(x.Content, y.Content) })
	for _, t := range a.tokens {
		a.first[t.Content[0]] = true
	}
	return a
}

// longest returns the longest token that s begins with, or nil.
func (a *addedTokens) longest(s string) *Added {
	var found *Added
	tokens := a.tokens
	for n := 0; len(tokens) > 0; n++ {
		if len(tokens[0].Content) == n {
			found = &tokens[0]
			tokens = tokens[1:]
		}
		if n == len(s) {
			break
		}
		b := s[n]
		low := sort.Search(len(tokens), func(i int) bool { return tokens[i].Content[n] >= b })
		high := sort.Search(len(tokens), func(i int) bool { return tokens[i].Content[n] > b })
		tokens = tokens[low:high]
	}
	return found
}

// next returns the first added token in s at or after from, and the part of s that it
// matches, which does not begin before from. token is nil if there is none.
func (a *addedTokens) next(s string, from int) (token *Added, begin, end int) {
	if len(a.tokens) == 0 {
		return nil, len(s), len(s)
	}
	for i := from; i < len(s); i++ {
		if !a.first[s[i]] {
			continue
		}
		t := a.longest(s[i:])
		if t == nil {
			continue
		}
		end := i + len(t.Content)
		if t.SingleWord && (wordBefore(s[:i]) || wordAfter(s[end:])) {
			i = end - 1
			continue
		}
		begin := i
		if t.LStrip {
			begin = from + len(strings.TrimRightFunc(s[from:i], unicode.IsSpace))
		}
		if t.RStrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
		}
		return t, begin, end
	}
	return nil, len(s), len(s)
}

func wordBefore(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return wordRune(r)
}

func wordAfter(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return wordRune(r)
}

// wordRune reports whether r matches \w.
func wordRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc,
		unicode.Join_Control)
}
