package keys

import "strings"

// Suggest says which of the known words is nearest to one that is not known, or lists them
// all where none is near: the end of an error.
func Suggest(word string, known []string) string {
	best, least := "", len(word)/2+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ", want one of " + strings.Join(known, ", ")
	}
	return ", did you mean " + best + "?"
}

// distance is the least number of characters to insert, delete, replace or swap with the next
// that turns a into b.
func distance(a, b string) int {
	var before, last []int // rows of the table, the next to be made from both
	for j := range len(b) + 1 {
		last = append(last, j)
	}
	for i := 1; i <= len(a); i++ {
		row := []int{i}
		for j := 1; j <= len(b); j++ {
			d := min(last[j]+1, row[j-1]+1)
			if a[i-1] == b[j-1] {
				d = min(d, last[j-1])
			} else {
				d = min(d, last[j-1]+1)
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}
