package countdown

import "math/rand/v2"

// purpose distinguishes the random streams that are derived from one seed.
type purpose uint64

const (
	splitting purpose = iota + 1
	ordering
	documents
)

// generator returns the random generator for (seed, purpose, index). Generators of
// different keys are independent, so item i can be generated without those before it.
func generator(seed uint64, p purpose, index int) *rand.Rand {
	key := splitMix(seed)
	key = splitMix(key.Uint64() ^ uint64(p))
	key = splitMix(key.Uint64() ^ uint64(index))
	return rand.New(&key)
}

// splitMix is the SplitMix64 generator (Steele, Lea and Flood 2014, figure 1).
type splitMix uint64

// Uint64 advances the state and returns its hash.
func (s *splitMix) Uint64() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
