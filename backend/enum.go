package backend

import "fmt"

// word is the name of an enum's value, and typ(v) of one that has none.
func word[E ~uint8](typ string, v E, names []string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", typ, v)
}
