package model

import (
	"hash/fnv"

	"github.com/aha-go/aha/backend"
)

// DeriveSeed returns the seed of one random stream, which depends on the run's seed, on the
// purpose of the stream, and on its indices (step, prompt, sample, …).
func DeriveSeed(seed uint64, purpose string, index ...int) uint64 {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	key := first64(backend.Philox(seed, 0, h.Sum64()))
	for _, i := range index {
		key = first64(backend.Philox(key, 1, uint64(i)))
	}
	return key
}

func first64(w [4]uint32) uint64 { return uint64(w[1])<<32 | uint64(w[0]) }
