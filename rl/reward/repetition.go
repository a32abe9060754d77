package reward

import (
	"context"
	"hash/maphash"
	"strings"
)

// Repetition is the n-gram repetition penalty of open-r1 (get_repetition_penalty_reward,
// after arXiv 2502.03373): Max times the share of n-grams of words that are repetitions,
//
//	value = (1 − distinct/total)·Max
//
// Words are separated by white space and compared in lower case. A completion with fewer than
// N words gets 0.
type Repetition struct {
	N   int     // number of words in an n-gram; 0 means 20
	Max float64 // limit of the penalty, for a completion that repeats one n-gram; negative; 0 means −1
}

// Score returns the penalty, from Max to 0. The status is Correct for 0, otherwise Wrong.
func (p Repetition) Score(_ context.Context, s Sample) Verdict {
	if p.N == 0 {
		p.N = 20
	}
	if p.Max == 0 {
		p.Max = -1
	}
	if p.N < 1 || !(p.Max < 0) {
		return failed("repetition: N is %d and Max %v, want N >= 1 and Max <= 0", p.N, p.Max)
	}
	words := strings.Fields(strings.ToLower(s.Completion))
	total := len(words) - p.N + 1
	if total <= 0 {
		return Verdict{Status: Correct}
	}
	// Each window of N words has a polynomial rolling hash modulo 2^64 of random hashes of its
	// words.
	seed := maphash.MakeSeed()
	const base = 0x9e3779b97f4a7c15
	out := uint64(1) // base to the power N
	hashes := make([]uint64, len(words))
	for i, w := range words {
		hashes[i] = maphash.String(seed, w)
	}
	for range p.N {
		out *= base
	}
	distinct := make(map[uint64]struct{}, total)
	var h uint64
	for i := range words {
		h = h*base + hashes[i]
		if i >= p.N {
			h -= out * hashes[i-p.N]
		}
		if i >= p.N-1 {
			distinct[h] = struct{}{}
		}
	}
	if len(distinct) == total {
		return Verdict{Status: Correct}
	}
	return Verdict{Value: (1 - float64(len(distinct))/float64(total)) * p.Max, Status: Wrong}
}
