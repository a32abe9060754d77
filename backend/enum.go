package backend

import "fmt"

// word returns the name of an enum's value, or typ(v) if it has none.
func word[E ~uint8](typ string, v E, names []string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", typ, v)
}
