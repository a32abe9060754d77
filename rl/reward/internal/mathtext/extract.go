package mathtext

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Answer is a parsed answer.
type Answer struct {
	// Text is the text of the answer.
	Text string
	// readings holds the possible meanings of Text. The first is the meaning of a gold answer:
	// 3,5 is then a list, whereas in an answer to be judged it may also be a decimal.
	readings []*node
	// half is "a" or "p" if Text ends in a.m. or p.m., otherwise "".
	half string
}

// halfDay matches a.m. or p.m. after a number, in plain text or LaTeX.
var halfDay = regexp.MustCompile(`(?i)\d[\s\\,~]*(?:\\[a-z]+\{\s*)?([ap])(?:\.\s?m\.?|m)([\s}$]*)$`)

// read parses the text of an answer.
func read(text string) (*Answer, error) {
	text = strings.TrimSpace(text)
	plain, half := text, ""
	if m := halfDay.FindStringSubmatchIndex(text); m != nil {
		half = lower(text[m[2]:m[3]])
		plain = text[:m[2]] + half + "m" + text[m[4]:] // 5 p.m. is 5 pm
	}
	n, err := parse(plain)
	if err != nil {
		return nil, err
	}
	a := &Answer{Text: text, readings: []*node{n}, half: half}
	if n.kind == list && len(n.args) == 2 {
		i := strings.IndexByte(text, ',')
		if i > 0 && i+1 < len(text) && isDigit(rune(text[i-1])) && isDigit(rune(text[i+1])) {
			if m, err := parse(text[:i] + "." + text[i+1:]); err == nil {
				a.readings = append(a.readings, m)
			}
		}
	}
	return a, nil
}

// Gold parses a gold answer: either only an answer, or a text such as a solution in which Find
// finds one. An answer without a value, such as 1/0, is an error.
func Gold(text string) (*Answer, error) {
	a, err := gold(text)
	if err == nil {
		err = a.valid()
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

func gold(text string) (*Answer, error) {
	if strings.Contains(text, `\boxed`) || strings.Contains(text, "####") || len(text) > maxAnswer {
		return Find(text, false)
	}
	a, err := read(text)
	if err != nil && (strings.ContainsAny(text, "$\n") || strings.Contains(lower(text), "answer")) {
		return Find(text, false)
	}
	return a, err
}

// Find finds the answer in a text and parses it. The answer is the first that is found of these:
// the content of the last \boxed{…}; the text after the last "#### ", "final answer" or
// "answer"; the last formula or number. Find searches after </think> and inside <answer> if
// there are such tags. With boxed it accepts only \boxed{…}. The error wraps ErrNoAnswer if
// there is no answer.
func Find(text string, boxed bool) (*Answer, error) {
	if strings.Contains(text, "<think>") && !strings.Contains(text, "</think>") {
		return nil, fmt.Errorf("the reasoning is not closed: %w", ErrNoAnswer)
	}
	text = tail(text, maxText)
	if i := strings.LastIndex(text, "</think>"); i >= 0 {
		text = text[i+len("</think>"):]
	}
	tagged := false
	if end := strings.LastIndex(text, "</answer>"); end >= 0 {
		if begin := strings.LastIndex(text[:end], "<answer>"); begin >= 0 {
			text, tagged = text[begin+len("<answer>"):end], true
		}
	}
	if box, ok := boxes(text); ok {
		return read(box)
	}
	if boxed {
		return nil, fmt.Errorf("no \\boxed{…}: %w", ErrNoAnswer)
	}
	if tagged && len(text) <= maxAnswer {
		if a, err := read(undecorated(text)); err == nil {
			return a, nil
		}
	}
	text = tail(text, maxTail)
	var first error
	tries := 0
	for _, passages := range []func(string, func(string) bool){announced, alone, latest} {
		var found *Answer
		passages(text, func(passage string) bool {
			a, err := read(passage)
			if err == nil {
				found = a
			} else if first == nil {
				first = err
			}
			tries++
			return found == nil && tries < maxTries
		})
		if found != nil {
			return found, nil
		}
	}
	if first != nil {
		return nil, first
	}
	return nil, ErrNoAnswer
}

// tail returns the last n bytes of text, or slightly fewer in order to begin with a whole
// character.
func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	text = text[len(text)-n:]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}

// lower is strings.ToLower for ASCII letters only, which does not change the length.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// undecorated removes emphasis, quotes and full stops around a text.
func undecorated(text string) string {
	text = strings.Trim(text, " \t\r\n*`\"_")
	for strings.HasSuffix(text, ".") || strings.HasSuffix(text, ":") || strings.HasSuffix(text, "。") {
		text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(text, "."), ":"), "。"))
	}
	return strings.Trim(text, " \t\r\n*`")
}

// announced yields the texts after "####", "final answer" and "answer", the last one first.
func announced(text string, yield func(string) bool) {
	low := lower(text)
	for _, phrase := range []string{"####", "final answer", "answer"} {
		for end := len(low); ; {
			i := strings.LastIndex(low[:end], phrase)
			if i < 0 {
				break
			}
			end = i
			rest := text[i+len(phrase):]
			if phrase != "####" {
				n := announcement(rest)
				if n < 0 {
					continue
				}
				rest = rest[n:]
			}
			passage := strings.TrimLeft(rest, " \t\r\n*:")
			if phrase != "####" && strings.HasPrefix(lower(passage[:min(len(passage), 4)]), "not ") {
				continue // as in "the answer is not 5"
			}
			if line := strings.IndexByte(passage, '\n'); line >= 0 && !strings.HasPrefix(passage, `\[`) &&
				!strings.HasPrefix(passage, "$$") {
				passage = passage[:line]
			}
			if !inPassage(passage[:min(len(passage), maxAnswer)], yield) {
				return
			}
		}
	}
}

// announcement returns where an answer begins in the text after the word "answer": after a
// nearby "is", colon or equals sign. It returns −1 if there is none.
func announcement(rest string) int {
	const reach = 100
	window := rest[:min(len(rest), reach)]
	if i := strings.IndexByte(window, '\n'); i >= 0 && strings.TrimSpace(window[:i]) != "" {
		window = window[:i]
	}
	best := -1
	for _, verb := range []string{" is:", " is ", ":", "=", " are ", " is\n"} {
		if i := strings.Index(window, verb); i >= 0 && (best < 0 || i+len(verb) < best) {
			best = i + len(verb)
		}
	}
	if best < 0 && strings.HasSuffix(window, " is") {
		best = len(window)
	}
	return best
}

// inPassage yields possible answers in a passage: the formulas at its beginning, its first
// sentence, its first formula, its first number.
func inPassage(passage string, yield func(string) bool) bool {
	spans := formulas(passage)
	if len(spans) > 0 && strings.TrimSpace(strings.Trim(passage[:spans[0].start], "*:")) == "" {
		end := spans[0].end
		for _, s := range spans[1:] {
			between := strings.TrimSpace(strings.Trim(passage[end:s.start], " ,"))
			if between != "" && between != "and" && between != "or" {
				break
			}
			end = s.end
		}
		for _, sign := range []string{"%", "percent"} {
			if rest := strings.TrimLeft(passage[end:], " "); strings.HasPrefix(rest, sign) {
				end = len(passage) - len(rest) + len(sign)
			}
		}
		return yield(passage[spans[0].start:end]) && yield(passage[spans[0].start:spans[0].end])
	}
	sentence := passage
	if i := strings.Index(sentence, ". "); i >= 0 {
		sentence = sentence[:i]
	}
	if !yield(undecorated(sentence)) {
		return false
	}
	for _, s := range spans {
		if !yield(passage[s.start:s.end]) {
			return false
		}
	}
	for start := 0; start < len(sentence); {
		i := strings.IndexFunc(sentence[start:], isDigit)
		if i < 0 {
			break
		}
		run, _ := runAt(sentence, start+i)
		if run != "" {
			return yield(run)
		}
		start += i + digits(sentence[start+i:])
	}
	return true
}

// maxAlone is the maximum number of bytes of a line that is a formula without dollar signs.
const maxAlone = 400

// alone yields the last line of a text if it is a formula without other text.
func alone(text string, yield func(string) bool) {
	text = strings.TrimSpace(text)
	text = undecorated(text[strings.LastIndexByte(text, '\n')+1:])
	if len(text) > 0 && len(text) <= maxAlone && !isProse(text) {
		yield(text)
	}
}

// isProse reports whether text has a word of three or more letters outside of LaTeX commands and
// their groups that is not the name of a function.
func isProse(text string) bool {
	for i := 0; i < len(text); i++ {
		rest := strings.TrimLeftFunc(text[i:], unicode.IsLetter)
		word := text[i : len(text)-len(rest)]
		if utf8.RuneCountInString(word) >= 3 && spoken[strings.ToLower(word)] == "" &&
			(i == 0 || text[i-1] != '\\' && text[i-1] != '{') {
			return true
		}
		i += len(word)
	}
	return false
}

// span is a part of a text.
type span struct{ start, end int }

// formulas returns the formulas between $…$, $$…$$, \(…\) and \[…\].
func formulas(text string) []span {
	var spans []span
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], `\(`), strings.HasPrefix(text[i:], `\[`):
			end := strings.Index(text[i:], map[byte]string{'(': `\)`, '[': `\]`}[text[i+1]])
			if end < 0 {
				i += 2
				continue
			}
			spans = append(spans, span{i, i + end + 2})
			i += end + 2
		case text[i] == '\\':
			i += 2
		case strings.HasPrefix(text[i:], "$$"):
			end := strings.Index(text[i+2:], "$$")
			if end < 0 {
				return spans
			}
			spans = append(spans, span{i, i + end + 4})
			i += end + 4
		case text[i] == '$':
			end := dollar(text[i+1:])
			if end < 0 {
				i++
				continue
			}
			spans = append(spans, span{i, i + end + 2})
			i += end + 2
		default:
			i++
		}
	}
	return spans
}

// dollar returns the index of the dollar sign that closes a formula, or −1. It must be on the
// same line and must not begin an amount such as $5.
func dollar(s string) int {
	for i := 0; i < len(s) && s[i] != '\n'; i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '$':
			amount := i+1 < len(s) && isDigit(rune(s[i+1])) || i > 0 && isDigit(rune(s[0])) && s[i-1] == ' '
			if amount || i == 0 {
				return -1
			}
			return i
		}
	}
	return -1
}
