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

func TestDotsMatchFloat64Definition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range headSizes {
			for _, n := range keyCounts {
				stride := d + 5
				q, k := fill(rng, endOfPage(t, d)), fill(rng, endOfPage(t, extent(n, d, stride, 1)))
				out := poisoned(endOfPage(t, n+1))
				Dots(out[1:], q, k, stride, n, d)
				if !isPoison(out[0]) {
					t.Fatalf("n=%d d=%d: wrote before out", n, d)
				}
				for j := range n {
					var want, size float64
					for i := range d {
						x := float64(q[i]) * float64(k[j*stride+i])
						want += x
						size += math.Abs(x)
					}
					near(t, fmt.Sprintf("n=%d d=%d: out[%d]", n, d, j), out[1+j], want, float64(d/8+4)*eps32*size)
				}
			}
		}
	})
}

func TestDotDependsOnItsKeyAlone(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range headSizes {
			const n = 29
			q, k := random(rng, d), random(rng, n*d)
			want := make([]float32, n)
			Dots(want, q, k, d, n, d)
			for range 20 {
				j := rng.IntN(n)
				m := 1 + rng.IntN(n-j)
				got := make([]float32, m)
				Dots(got, q, k[j*d:], d, m, d)
				sameBits(t, fmt.Sprintf("d=%d: keys %d to %d alone", d, j, j+m), got, want[j:][:m])
			}
			// Channels of zeros behind the row leave every lane as it is.
			wide := d + 1 + rng.IntN(20)
			q2, k2, got := make([]float32, wide), make([]float32, n*wide), make([]float32, n)
			copy(q2, q)
			for j := range n {
				copy(k2[j*wide:], k[j*d:][:d])
			}
			Dots(got, q2, k2, wide, n, wide)
			sameBits(t, fmt.Sprintf("d=%d padded to %d", d, wide), got, want)
		}
	})
}

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

func TestRankOneMatchesFloat64Definition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range headSizes {
			for _, n := range keyCounts {
				stride := d + 2
				p, x := fill(rng, endOfPage(t, n)), fill(rng, endOfPage(t, d))
				dst := poisoned(endOfPage(t, extent(n, d, stride, 1)))
				start := random(rng, n*d)
				for j := 0; j < n && d > 0; j++ {
					copy(dst[j*stride:], start[j*d:][:d])
				}
				RankOne(dst, stride, p, x, n, d)
				for i, got := range dst {
					j, c := i/stride, i%stride
					if c >= d {
						if !isPoison(got) {
							t.Fatalf("n=%d d=%d: wrote column %d", n, d, c)
						}
						continue
					}
					s, w := float64(start[j*d+c]), float64(p[j])*float64(x[c])
					near(t, fmt.Sprintf("n=%d d=%d: dst[%d,%d]", n, d, j, c), got, s+w, 2*eps32*(math.Abs(s)+math.Abs(w)))
				}
			}
		}
	})
}

func TestRankOnesInSuccessionHaveTheBitsOfGemm(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const queries, n, d = 19, 11, 43
		p, x, start := random(rng, queries*n), random(rng, queries*d), random(rng, n*d)
		want := append([]float32(nil), start...)
		GemmPacked(n, d, queries, p, 1, n, packed(x, queries, d), want, d, true)
		got := append([]float32(nil), start...)
		for i := range queries {
			RankOne(got, d, p[i*n:], x[i*d:], n, d)
		}
		sameBits(t, "dst", got, want)
	})
}
