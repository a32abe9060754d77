package mathtext

import "strings"

// near is the maximum number of bytes between boxes that belong together.
const near = 10

// boxes returns the content of the last \boxed{…}. If there are other boxes before it, with only
// a comma or "and" in between, the result is a list of the contents of all.
func boxes(text string) (string, bool) {
	content, start, _, ok := lastBox(text)
	if !ok {
		return "", false
	}
	for range maxMembers {
		// The content of the box before is at most an answer, which limits where it begins.
		from := max(0, start-maxAnswer)
		before, begin, end, ok := lastBox(text[from:start])
		begin, end = from+begin, from+end
		if !ok || start-end > 2*near || strings.HasPrefix(before, "{") { // after { the box is inside the other one
			break
		}
		switch strings.Trim(strings.TrimPrefix(text[end:start], `\text{`), "} $\n,.\\") {
		case "", "and", "or":
		default:
			return content, true
		}
		if before != content {
			content = before + ", " + content
		}
		start = begin
	}
	return content, true
}

// lastBox returns the content of the last \boxed and its position.
func lastBox(text string) (content string, start, end int, ok bool) {
	start = max(strings.LastIndex(text, `\boxed`), strings.LastIndex(text, `\fbox`))
	if start < 0 {
		return "", 0, 0, false
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(text[start:], `\fbox`), `\boxed`)
	rest = strings.TrimLeft(rest, " \t\n")
	at := len(text) - len(rest)
	rest = rest[:min(len(rest), maxAnswer+2)]
	if strings.HasPrefix(rest, "{") {
		if n := closing(rest); n > 0 {
			return rest[1:n], start, at + n + 1, true
		}
		return rest, start, at + len(rest), true // the box is not closed, so the content cannot be parsed
	}
	// In \boxed 5 the content ends at the next space or the end of the formula.
	if i := strings.IndexAny(rest, " \t\n$"); i >= 0 {
		rest = rest[:i]
	}
	return rest, start, at + len(rest), true
}
