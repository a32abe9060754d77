package mathtext

import (
	"fmt"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind says what a token is.
type tokenKind uint8

const (
	tokEnd     tokenKind = iota
	tokNumber            // num, with its digits in text
	tokLetter            // one letter, or a Greek one by its command
	tokWord              // letters side by side
	tokText              // what \text{…} and its like hold
	tokCommand           // \name without the backslash
	tokOp                // an operator or bracket
)

// token is a piece of an answer.
type token struct {
	kind    tokenKind
	text    string
	num     *big.Rat
	decimal bool
	vulgar  bool // a number like ½
	spaced  bool // blanks stand before it
}

func (t token) String() string {
	if t.kind == tokEnd {
		return "its end"
	}
	return fmt.Sprintf("%q", t.text)
}

// symbols maps characters of Unicode to the LaTeX or ASCII they stand for.
var symbols = map[rune]string{
	'×': `*`, '·': `*`, '⋅': `*`, '∙': `*`, '•': `*`, '∗': `*`, '÷': `/`, '⁄': `/`, '∕': `/`, '−': `-`, '–': `-`, '—': `-`,
	'≤': `\le `, '⩽': `\le `, '≥': `\ge `, '⩾': `\ge `, '≠': `\ne `, '≈': `\approx `, '≡': `\equiv `, '∞': `\infty `,
	'√': `\sqrt `, '±': `\pm `, '∓': `\mp `, '∪': `\cup `, '∩': `\cap `, '∖': `\setminus `, '∈': `\in `,
	'∅': `\emptyset `, '°': `\degree `, 'º': `\degree `, '′': `'`, '’': `'`, '∣': `|`, '，': `,`, '；': `;`, '：': `:`,
	'（': `(`, '）': `)`, '＝': `=`, '。': `.`, '％': `%`, '\u00a0': ` `, '\u2009': ` `, '\u202f': ` `,
	'ℝ': `\mathbb{R}`, 'ℤ': `\mathbb{Z}`, 'ℕ': `\mathbb{N}`, 'ℚ': `\mathbb{Q}`, 'ℂ': `\mathbb{C}`,
	'α': `\alpha `, 'β': `\beta `, 'γ': `\gamma `, 'δ': `\delta `, 'ε': `\epsilon `, 'θ': `\theta `, 'λ': `\lambda `,
	'μ': `\mu `, 'π': `\pi `, 'ρ': `\rho `, 'σ': `\sigma `, 'τ': `\tau `, 'φ': `\phi `, 'ω': `\omega `,
	'⟨': `\langle `, '⟩': `\rangle `, '⌊': `\lfloor `, '⌋': `\rfloor `, '⌈': `\lceil `, '⌉': `\rceil `,
}

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹"

// vulgars are the fractions that Unicode has as characters.
var vulgars = map[rune][2]int64{
	'½': {1, 2}, '⅓': {1, 3}, '⅔': {2, 3}, '¼': {1, 4}, '¾': {3, 4}, '⅕': {1, 5}, '⅖': {2, 5}, '⅗': {3, 5},
	'⅘': {4, 5}, '⅙': {1, 6}, '⅚': {5, 6}, '⅛': {1, 8}, '⅜': {3, 8}, '⅝': {5, 8}, '⅞': {7, 8},
}

// ignored are the commands that change how something looks.
var ignored = wordSet(`left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle
	textstyle limits nolimits rm bf it mathstrut quad qquad enspace thinspace nobreak strut hfill noindent`)

// textual are the commands whose argument is text.
var textual = wordSet(`text textbf textit textrm textnormal textsf texttt textsc mbox hbox mathrm mathbf mathit mathsf
	mathtt mathcal operatorname boldsymbol bm emph underline`)

// renamed are commands that mean the same as another.
var renamed = map[string]string{
	"dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "leq": "le", "leqslant": "le", "leqq": "le", "geq": "ge",
	"geqslant": "ge", "geqq": "ge", "neq": "ne", "lt": "<", "gt": ">", "cdot": "*", "times": "*", "ast": "*", "div": "/",
	"varnothing": "emptyset", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "lbrace": `\{`, "rbrace": `\}`,
	"lbrack": "[", "rbrack": "]", "land": "and", "wedge": "and", "lor": "or", "vee": "or", "smallsetminus": "setminus",
	"backslash": "setminus", "simeq": "approx", "cong": "approx", "sim": "approx", "dbinom": "binom", "tbinom": "binom",
	"circ": "degree", "prime": "'", "bar": "overline", "varphi": "phi", "varepsilon": "epsilon", "iff": "equiv",
	"lor ": "or", "colon": ":", "dots": "ldots", "cdots": "ldots", "infin": "infty", "fbox": "boxed", "asin": "arcsin",
	"acos": "arccos", "atan": "arctan", "reals": "R", "lgroup": "(", "rgroup": ")",
}

// spoken are words that stand for commands in plain text too.
var spoken = map[string]string{
	"pi": "pi", "sqrt": "sqrt", "infinity": "infty", "inf": "infty", "oo": "infty", "theta": "theta", "alpha": "alpha",
	"beta": "beta", "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "log": "log",
	"ln": "ln", "lg": "lg", "exp": "exp", "arcsin": "arcsin", "arccos": "arccos", "arctan": "arctan", "asin": "arcsin",
	"acos": "arccos", "atan": "arctan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "and": "and", "or": "or",
	"percent": "%", "percentage": "%", "pct": "%", "abs": "abs", "max": "max", "min": "min", "gcd": "gcd", "lcm": "lcm",
	"union": "cup", "floor": "floor", "ceil": "ceil",
}

func wordSet(words string) map[string]bool {
	s := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		s[w] = true
	}
	return s
}

// lexer cuts an answer into tokens.
type lexer struct {
	text   string
	pos    int
	depth  int // open brackets
	spaced bool
	tokens []token
}

// lex cuts text into tokens and ends them with one of kind tokEnd.
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

// splitWords makes products of letters of words of up to 3 letters that stand beside
// an operator, number or letter, such as xy in 2xy + 1. Words beside words are prose,
// and those that are units after a number stay.
func splitWords(tokens []token) []token {
	split := make([]token, 0, len(tokens))
	for i, t := range tokens {
		if t.kind != tokWord || utf8.RuneCountInString(t.text) > 3 || !splits(tokens, i) {
			split = append(split, t)
			continue
		}
		for _, r := range t.text {
			split = append(split, token{kind: tokLetter, text: string(r), spaced: t.spaced})
			t.spaced = false
		}
	}
	return split
}

func splits(tokens []token, i int) bool {
	before := token{kind: tokEnd}
	if i > 0 {
		before = tokens[i-1]
	}
	after := tokens[i+1]
	closes := before.kind == tokNumber || before.kind == tokOp &&
		(before.text == ")" || before.text == "}" || before.text == "%" || before.text == "degree" || before.text == "/")
	switch {
	case before.kind == tokWord || after.kind == tokWord || before.kind == tokText || after.kind == tokText:
		return false
	case closes && units[strings.ToLower(tokens[i].text)]:
		return false
	case before.kind == tokEnd && after.kind == tokEnd:
		return true
	}
	beside := func(t token, spaced bool) bool {
		return t.kind == tokOp && t.text != "," && t.text != "and" && t.text != "or" || t.kind != tokEnd && t.kind != tokOp && !spaced
	}
	return strings.HasPrefix(before.text, `\`) || beside(before, tokens[i].spaced) || beside(after, after.spaced)
}

// plainASCII writes characters of Unicode as the LaTeX that they stand for.
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

// next reads one token, or skips what means nothing.
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
		if len(l.tokens) > 0 && strings.TrimSpace(l.text[l.pos:]) != "" { // Python's power; else bold face
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

// endsSentence reports whether a formula or the text ends after a point.
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

// separators stand between thousands anywhere; a bare comma does so outside
// brackets only, where it separates members.
var separators = []string{"{,}", `,\!`, `\,`, `\ `, `\;`, "~", " "}

// number reads digits with separators of thousands, a decimal part and an exponent.
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
		// \frac12 has the arguments 1 and 2.
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

// separator returns what separates thousands at the beginning of s, or "".
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

var greek = wordSet(`alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi
	chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell infty`)

var operators = wordSet(`* / < > le ge ne approx equiv in cup cap setminus pm mp | [ ] ( ) \{ \} ' and or degree % : ldots`)

// command reads what begins with a backslash.
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
		default: // a blank of some width, \$, \&, …
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

// group reads a group in braces, or one character, as it stands.
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

// closing returns the place of the brace that closes the one s begins with, or −1.
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

// textual adds what \text{…} holds: mathematics where it is a letter, a number, a
// function or a separator, and else text.
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
