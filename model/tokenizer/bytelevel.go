package tokenizer

import "unicode/utf8"

// byteRunes maps each byte to the printable character that represents it in the tokens of
// byte-level BPE: itself or, if it is not printable, the next of U+0100, U+0101, …
var byteRunes = func() (table [256]rune) {
	next := rune(256)
	for b := range table {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
			table[b] = rune(b)
		} else {
			table[b] = next
			next++
		}
	}
	return table
}()

// runeBytes is the inverse of byteRunes; -1 marks a character that represents no byte.
var runeBytes = func() (table [256 + 68]int16) {
	for i := range table {
		table[i] = -1
	}
	for b, r := range byteRunes {
		table[r] = int16(b)
	}
	return table
}()

// alphabet writes bytes as a token of byte-level BPE.
func alphabet(bytes string) string {
	text := make([]byte, 0, 2*len(bytes))
	for i := range len(bytes) {
		text = utf8.AppendRune(text, byteRunes[bytes[i]])
	}
	return string(text)
}

// bytesOf is the inverse of alphabet. It returns false for a token with characters that
// represent no byte; such a token represents its own text.
func bytesOf(token string) (string, bool) {
	bytes := make([]byte, 0, len(token))
	for _, r := range token {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return token, false
		}
		bytes = append(bytes, byte(runeBytes[r]))
	}
	return string(bytes), true
}
