//go:build !noasm

package asm

import (
	"fmt"
	"slices"
	"testing"
)

// Whether panels stream depends on the processor's cache, so each processor
// would otherwise test only one of the two.
func TestStreamedPanelsGiveTheSameBits(t *testing.T) {
	if !slices.Contains(available(), pathAVX512) {
		t.Skip("this processor has no AVX-512")
	}
	stream, chosen := streamPanels, path
	defer func() {
		streamPanels = stream
		usePath(chosen)
	}()
	usePath(pathAVX512)
	rng := newRand(t)
	for _, m := range []int{1, 7, 8, 9, 14, 15, 100, 301} {
		for _, s := range []struct{ n, k int }{{1, 1}, {17, 300}, {64, 257}, {300, 700}, {33, 4500}} {
			b := random(rng, s.k*s.n)
			bp, start := packed(b, s.k, s.n), random(rng, m*s.n)
			for name, a := range layouts(t, rng, m, s.k) {
				for _, accumulate := range []bool{false, true} {
					var results [2][]float32
					for i := range results {
						streamPanels = i == 1
						results[i] = slices.Clone(start)
						GemmPacked(m, s.n, s.k, a.data, a.rs, a.cs, bp, results[i], s.n, accumulate)
					}
					sameBits(t, fmt.Sprintf("%dx%dx%d A %s accumulate %t", m, s.n, s.k, name, accumulate), results[1], results[0])
				}
			}
		}
	}
}
