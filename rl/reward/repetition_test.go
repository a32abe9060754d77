package reward

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// repeated computes the penalty by its definition.
func repeated(text string, n int, most float64) float64 {
	words := strings.Fields(strings.ToLower(text))
	distinct := map[string]bool{}
	total := 0
	for i := 0; i+n <= len(words); i++ {
		distinct[strings.Join(words[i:i+n], " ")] = true
		total++
	}
	if total == 0 {
		return 0
	}
	return (1 - float64(len(distinct))/float64(total)) * most
}

func TestRepetitionCountsNGramsThatOccurAgain(t *testing.T) {
	for _, c := range []struct {
		completion string
		n          int
		want       float64
	}{
		{"", 3, 0},
		{"a b", 3, 0},
		{"a b c d", 3, 0},
		{"a a a a", 3, -0.5},
		{"A b a B a b", 2, -0.6}, // ab ba ab ba ab
		{"a b c a b c", 3, -0.25},
		{strings.Repeat("x ", 10_000), 1, -0.9999},
	} {
		v := Repetition{N: c.n}.Score(t.Context(), Sample{Completion: c.completion})
		if v.Value != c.want && v.Value-c.want > 1e-15 || (v.Status == Correct) != (c.want == 0) {
			t.Errorf("%.30q by %d: %+v, want %v", c.completion, c.n, v, c.want)
		}
	}
	const seed = 3
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	for range 300 {
		var words []string
		for range r.IntN(200) {
			words = append(words, string(rune('a'+r.IntN(3))))
		}
		text, n := strings.Join(words, " "), 1+r.IntN(6)
		v := Repetition{N: n, Max: -0.25}.Score(t.Context(), Sample{Completion: text})
		if want := repeated(text, n, -0.25); v.Value != want || (v.Status == Correct) != (want == 0) {
			t.Fatalf("%q by %d: %+v, want %v", text, n, v, want)
		}
	}
	for _, p := range []Repetition{{N: -1}, {Max: 1}} {
		if v := p.Score(t.Context(), Sample{}); v.Status != Error {
			t.Errorf("%+v: %+v, want an Error", p, v)
		}
	}
}
