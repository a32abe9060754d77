package mathtext

import (
	"fmt"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind is the kind of a token.
type tokenKind uint8

const (
	tokEnd     tokenKind = iota
	tokNumber            // number with the value num and its digits in text
	tokLetter            // single letter, or the command of a Greek letter
	tokWord              // several letters without spaces
	tokText              // content of \text{…} and similar commands
	tokCommand           // \name, without the backslash
	tokOp                // operator or bracket
)

// token is a token of an answer.
type token struct {
	kind    tokenKind
	text    string
	num     *big.Rat
	decimal bool
	vulgar  bool // a Unicode fraction such as ½
	spaced  bool // there is a space before it
}

func (t token) String() string {
	if t.kind == tokEnd {
		return "its end"
	}
	return fmt.Sprintf("%q", t.text)
}

// lexer splits an answer into tokens.
type lexer struct {
	text   string
	pos    int
	depth  int // number of open brackets
	spaced bool
	tokens []token
}

// lex splits text into tokens. The last one has kind tokEnd.
func lex(text string) []token {
	if len(text) > maxAnswer {
		fail(ErrTooBig, "an answer of %d bytes, limit %d", len(text), maxAnswer)
	}
	l := &lexer{text: plainASCII(text)}
	for l.pos < len(l.text) {
		l.next()
		if len(l.tokens) > maxTokens {
			fail(ErrTooBig, "an answer of more than %d tokens", maxTokens)
		}
	}
	l.add(token{kind: tokEnd})
	return splitWords(l.tokens)
}

// plainASCII replaces Unicode characters by the equivalent LaTeX.
func plainASCII(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return text
	}
	var b strings.Builder
	raised := false
	for _, r := range text {
		if i := strings.IndexRune(superscripts, r); i >= 0 {
			if !raised {
				b.WriteByte('^')
			}
			b.WriteByte(byte('0' + utf8.RuneCountInString(superscripts[:i])))
			raised = true
			continue
		}
		raised = false
		if s, ok := symbols[r]; ok {
			b.WriteString(s)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (l *lexer) add(t token) {
	t.spaced = l.spaced
	l.spaced = false
	l.tokens = append(l.tokens, t)
}

func (l *lexer) op(text string) {
	switch text {
	case "(", "[", `\{`, "{":
		l.depth++
	case ")", "]", `\}`, "}":
		l.depth--
	}
	l.add(token{kind: tokOp, text: text})
}

// next reads one token, or skips a character or command without meaning.
func (l *lexer) next() {
	r, size := utf8.DecodeRuneInString(l.text[l.pos:])
	switch {
	case r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '~':
		l.spaced = true
		l.pos++
	case isDigit(r), r == '.' && l.pos+1 < len(l.text) && isDigit(rune(l.text[l.pos+1])):
		l.number()
	case r == '\\':
		l.command()
	case unicode.IsLetter(r):
		l.letters()
	case strings.ContainsRune("$€£¥₹₽₩¢", r):
		l.spaced = true
		l.pos += size
	case strings.ContainsRune("*\"", r) && strings.HasPrefix(l.text[l.pos:], "**"):
		l.pos += 2
		if len(l.tokens) > 0 && strings.TrimSpace(l.text[l.pos:]) != "" { // power in Python; at the end it is bold face
			l.op("^")
		}
	case strings.HasPrefix(l.text[l.pos:], "<="), strings.HasPrefix(l.text[l.pos:], ">="),
		strings.HasPrefix(l.text[l.pos:], "!="), strings.HasPrefix(l.text[l.pos:], "=="):
		l.op(map[string]string{"<=": "le", ">=": "ge", "!=": "ne", "==": "="}[l.text[l.pos:l.pos+2]])
		l.pos += 2
	case strings.ContainsRune("+-*/^_=<>()[]{}|,;:!%&'", r):
		l.pos += size
		l.op(string(r))
	case r == '.' && endsSentence(l.text[l.pos+1:]):
		l.pos++
	case vulgars[r] != [2]int64{}:
		v := vulgars[r]
		l.pos += size
		l.add(token{kind: tokNumber, text: string(r), num: big.NewRat(v[0], v[1]), vulgar: true})
	default:
		fail(errSyntax, "character %q at byte %d", r, l.pos)
	}
}

// endsSentence reports whether the text or a formula ends after a full stop, given the text
// after it.
func endsSentence(rest string) bool {
	rest = strings.TrimLeft(rest, ". \t\r\n*")
	return rest == "" || rest[0] == '$' || strings.HasPrefix(rest, `\)`) || strings.HasPrefix(rest, `\]`)
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(rune(s[n])) {
		n++
	}
	return n
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// letters reads a letter, a word or the name of a function in plain text.
func (l *lexer) letters() {
	rest := strings.TrimLeftFunc(l.text[l.pos:], unicode.IsLetter)
	w := l.text[l.pos : len(l.text)-len(rest)]
	l.pos = len(l.text) - len(rest)
	if name, ok := spoken[strings.ToLower(w)]; ok {
		l.named(name)
	} else if utf8.RuneCountInString(w) == 1 {
		l.add(token{kind: tokLetter, text: w})
	} else {
		l.add(token{kind: tokWord, text: w})
	}
}

// named adds the token of a command.
func (l *lexer) named(name string) {
	if to, ok := renamed[name]; ok {
		name = to
	}
	switch {
	case greek[name]:
		l.add(token{kind: tokLetter, text: `\` + name})
	case operators[name]:
		l.op(name)
	default:
		l.add(token{kind: tokCommand, text: name})
	}
}

// command reads a token that begins with a backslash.
func (l *lexer) command() {
	l.pos++
	if l.pos == len(l.text) {
		return
	}
	c := l.text[l.pos]
	if !isLetter(c) {
		l.pos++
		switch c {
		case '{', '}':
			l.op(`\` + string(c))
		case '%', '|':
			l.op(string(c))
		case '\\':
			l.op(`\\`)
		default: // a space of some width, \$, \&, …
			l.spaced = true
		}
		return
	}
	n := 0
	for l.pos+n < len(l.text) && isLetter(l.text[l.pos+n]) {
		n++
	}
	name := l.text[l.pos : l.pos+n]
	l.pos += n
	switch {
	case ignored[name]:
		l.spaced = true
		if (name == "left" || name == "right") && strings.HasPrefix(l.text[l.pos:], ".") {
			l.pos++
		}
	case name == "hspace" || name == "phantom" || name == "vspace":
		l.spaced = true
		l.group()
	case name == "mathbb" || name == "Bbb":
		l.add(token{kind: tokLetter, text: `\` + strings.TrimSpace(l.group())})
	case textual[name]:
		l.textual(l.group())
	default:
		l.named(name)
	}
}

// group reads a group in braces or a single character, without parsing it.
func (l *lexer) group() string {
	rest := strings.TrimLeft(strings.TrimLeft(l.text[l.pos:], "*"), " ")
	l.pos = len(l.text) - len(rest)
	if !strings.HasPrefix(rest, "{") {
		_, size := utf8.DecodeRuneInString(rest)
		l.pos += size
		return rest[:size]
	}
	if end := closing(rest); end > 0 {
		l.pos += end + 1
		return rest[1:end]
	}
	l.pos = len(l.text)
	return rest[1:]
}

// closing returns the index of the brace that closes the brace at the beginning of s, or −1.
func closing(s string) int {
	open := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}

// textual adds the tokens of the content s of \text{…}. A letter, a number, a function or a
// separator is mathematics; everything else is text.
func (l *lexer) textual(s string) {
	t := strings.TrimSpace(s)
	_, known := spoken[strings.ToLower(t)]
	letter := utf8.RuneCountInString(t) == 1
	switch {
	case t == "":
		l.spaced = true
	case known, letter, strings.Trim(t, "0123456789.,()+-*/=^ ") == "", strings.HasPrefix(t, `\`):
		inner := &lexer{text: t, depth: l.depth, spaced: l.spaced}
		for inner.pos < len(inner.text) {
			inner.next()
		}
		l.tokens = append(l.tokens, inner.tokens...)
		l.spaced = false
	default:
		t = strings.NewReplacer(`\ `, " ", `\,`, " ", "~", " ", "$", "").Replace(t)
		l.add(token{kind: tokText, text: t})
	}
}
