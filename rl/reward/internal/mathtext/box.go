package mathtext

import "strings"

// near is the number of bytes between boxes that still belong together.
const near = 10

// boxes returns what the last \boxed{…} holds. Boxes right before it, with no more
// than a comma or and between, belong to it: the result is a list.
func boxes(text string) (string, bool) {
	content, start, _, ok := lastBox(text)
	if !ok {
		return "", false
	}
	for range maxMembers {
		// The box before may hold no more than an answer, which bounds where it begins.
		from := max(0, start-maxAnswer)
		before, begin, end, ok := lastBox(text[from:start])
		begin, end = from+begin, from+end
		if !ok || start-end > 2*near || strings.HasPrefix(before, "{") { // {: it holds the box
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

// lastBox returns what the last \boxed holds and its place.
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
		return rest, start, at + len(rest), true // does not end, and cannot be read
	}
	// \boxed 5: up to the next blank or the end of the formula.
	if i := strings.IndexAny(rest, " \t\n$"); i >= 0 {
		rest = rest[:i]
	}
	return rest, start, at + len(rest), true
}
