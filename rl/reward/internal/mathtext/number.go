package mathtext

import (
	"math/big"
	"strings"
)

// separators are the thousands separators. A plain comma is one too, but only outside of
// brackets, since it separates members inside.
var separators = []string{"{,}", `,\!`, `\,`, `\ `, `\;`, "~", " "}

// number reads digits with thousands separators, a decimal part and an exponent.
func (l *lexer) number() {
	s := l.text[l.pos:]
	n := digits(s)
	whole, rest := s[:n], s[n:]
	if n > 0 && n <= 3 && s[0] != '0' {
		if l.depth <= 0 && european(rest) > 0 { // 1.234,56
			for rest[0] == '.' {
				whole, rest = whole+rest[1:4], rest[4:]
			}
			rest = "." + rest[1:]
		} else {
			separator := ""
			for {
				sep := l.separator(rest)
				if sep == "" || separator != "" && sep != separator {
					break
				}
				separator = sep
				whole, rest = whole+rest[len(sep):len(sep)+3], rest[len(sep)+3:]
			}
		}
	}
	t := token{kind: tokNumber}
	t.text = whole
	if len(rest) > 1 && rest[0] == '.' && isDigit(rune(rest[1])) {
		n := 1 + digits(rest[1:])
		t.text, rest = t.text+rest[:n], rest[n:]
		t.decimal = true
	}
	if !t.decimal && strings.HasPrefix(rest, "{,}") && digits(rest[3:]) > 0 { // 3{,}5
		n := digits(rest[3:])
		t.text, rest, t.decimal = t.text+"."+rest[3:3+n], rest[3+n:], true
	}
	for _, bar := range []string{`.\overline`, `.\bar`} { // 0.\overline{3}
		if !t.decimal && strings.HasPrefix(rest, bar) {
			t.text, rest, t.decimal = t.text+".", rest[1:], true
		}
	}
	if len(rest) > 1 && (rest[0] == 'e' || rest[0] == 'E') {
		sign := 1
		if rest[1] == '-' || rest[1] == '+' {
			sign = 2
		}
		if n := digits(rest[sign:]); n > 0 && (len(rest) == sign+n || !isLetter(rest[sign+n])) {
			if n > 3 {
				fail(ErrTooBig, "the exponent of %.20s", s)
			}
			t.text, rest = t.text+rest[:sign+n], rest[sign+n:]
			t.decimal = true
		}
	}
	if len(t.text) > maxDigits {
		fail(ErrTooBig, "a number of %d digits, limit %d", len(t.text), maxDigits)
	}
	r, ok := new(big.Rat).SetString(strings.TrimSuffix(t.text, "."))
	if !ok {
		fail(errSyntax, "number %q", t.text)
	}
	t.num = r
	l.pos = len(l.text) - len(rest)
	if last := len(l.tokens) - 1; last >= 0 && l.tokens[last].kind == tokCommand && l.tokens[last].text == "frac" &&
		len(whole) > 1 && !t.decimal {
		// In \frac12 the arguments are 1 and 2.
		first, _ := new(big.Rat).SetString(whole[:1])
		l.add(token{kind: tokNumber, text: whole[:1], num: first})
		t.text = whole[1:]
		t.num, _ = new(big.Rat).SetString(t.text)
	}
	l.add(t)
}

// european returns the length of ".ddd…,d…" at the beginning of s, or 0.
func european(s string) int {
	n := 0
	for len(s) >= n+4 && s[n] == '.' && digits(s[n+1:]) == 3 {
		n += 4
	}
	if n == 0 || len(s) < n+2 || s[n] != ',' || !isDigit(rune(s[n+1])) {
		return 0
	}
	return n + 1 + digits(s[n+1:])
}

// separator returns the thousands separator at the beginning of s, or "".
func (l *lexer) separator(s string) string {
	for _, sep := range separators {
		if strings.HasPrefix(s, sep) && digits(s[len(sep):]) == 3 {
			return sep
		}
	}
	if l.depth <= 0 && strings.HasPrefix(s, ",") && digits(s[1:]) == 3 {
		return ","
	}
	return ""
}
