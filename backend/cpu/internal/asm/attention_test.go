package asm

import (
	"fmt"
	"math"
	"testing"
)

var (
	headSizes = []int{0, 1, 7, 8, 9, 16, 31, 64, 65, 96, 128, 136, 1000}
	keyCounts = []int{0, 1, 2, 7, 8, 9, 15, 16, 33}
)

func TestWeightedSumMatchesFloat64Definition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range headSizes {
			for _, n := range keyCounts {
				stride := d + 3
				p, v := fill(rng, endOfPage(t, n)), fill(rng, endOfPage(t, extent(n, d, stride, 1)))
				start := random(rng, d)
				o := append(poisoned(endOfPage(t, d+1)[:1]), start...)
				WeightedSum(o[1:], p, v, stride, n, d)
				if !isPoison(o[0]) {
					t.Fatalf("n=%d d=%d: wrote before o", n, d)
				}
				for i := range d {
					want := float64(start[i])
					size := math.Abs(want)
					for j := range n {
						x := float64(p[j]) * float64(v[j*stride+i])
						want += x
						size += math.Abs(x)
					}
					near(t, fmt.Sprintf("n=%d d=%d: o[%d]", n, d, i), o[1+i], want, float64(n+1)*eps32*size)
				}
			}
		}
	})
}

func TestWeightedSumHasTheBitsOfGemmHoweverItIsSplit(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range headSizes {
			const n = 41
			p, v, start := random(rng, n), random(rng, n*d), random(rng, d)
			want := append([]float32(nil), start...)
			GemmPacked(1, d, n, p, 0, 1, packed(v, n, d), want, d, true)
			for _, j := range []int{0, 1, 8, 20, 40, 41} {
				got := append([]float32(nil), start...)
				WeightedSum(got, p, v, d, j, d)
				WeightedSum(got, p[j:], v[j*d:], d, n-j, d)
				sameBits(t, fmt.Sprintf("d=%d split at %d", d, j), got, want)
			}
		}
	})
}
