package keys

import "strings"

// Suggest returns the end of an error message about an unknown word: the most similar of the
// known words or, if none is similar, all of them.
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

// distance returns the minimum number of characters to insert, delete, replace or swap with
// the next one to turn a into b (Damerau-Levenshtein, optimal string alignment).
func distance(a, b string) int {
	var before, last []int // the last two rows of the table, from which the next is computed
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
