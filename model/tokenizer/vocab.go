package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// NewBytes returns a vocabulary for experiments: a token for each byte, whose id is the
// byte's value, and the added tokens in order from id 256 on. Their ID fields are ignored.
func NewBytes(added ...Added) (*Tokenizer, error) {
	v := Vocabulary{Pattern: Whole}
	for b := range 256 {
		v.Tokens = append(v.Tokens, alphabet(string([]byte{byte(b)})))
	}
	for _, a := range added {
		a.ID = int32(len(v.Tokens) + len(v.Added))
		v.Added = append(v.Added, a)
	}
	return New(v)
}

// NewCharacters returns a vocabulary for experiments: the added tokens in order from id 0
// on, then the characters of text in order of first occurrence. The ID fields of added
// tokens are ignored. Encode returns an error for other characters. Text that is not UTF-8
// is an error.
func NewCharacters(text string, added ...Added) (*Tokenizer, error) {
	v := Vocabulary{Pattern: Characters}
	seen := map[rune]bool{}
	for _, a := range added {
		a.ID = int32(len(v.Added))
		v.Added = append(v.Added, a)
		v.Tokens = append(v.Tokens, a.Content)
		if r, n := utf8.DecodeRuneInString(a.Content); n == len(a.Content) {
			seen[r] = true
		}
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("tokenizer: NewCharacters: the text is not UTF-8")
	}
	for _, r := range text {
		if !seen[r] {
			seen[r] = true
			v.Tokens = append(v.Tokens, string(r))
		}
	}
	return New(v)
}
