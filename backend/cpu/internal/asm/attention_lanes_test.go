package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// lengthsOf returns how many of n keys each lane sees, at random: none, all,
// and numbers in between.
func lengthsOf(rng *rand.Rand, n int) (visible [Lanes]int32) {
	for i := range visible {
		visible[i] = int32(rng.IntN(n+2) - 1)
	}
	visible[rng.IntN(Lanes)], visible[rng.IntN(Lanes)] = int32(n), 0
	return visible
}

// column returns lane i of the first n rows of x.
func column(x []float32, i, n int) []float32 {
	y := make([]float32, max(n, 0))
	for j := range y {
		y[j] = x[j*Lanes+i]
	}
	return y
}

func TestSoftmaxLanesHasTheBitsOfEachLaneAlone(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, n := range []int{0, 1, 2, 7, 8, 9, 15, 16, 33, 127, 128} {
			rows := (n + 7) &^ 7
			p, visible := fill(rng, endOfPage(t, rows*Lanes)), lengthsOf(rng, n)
			poisoned(p[n*Lanes:])
			for i, v := range visible { // keys that a lane does not see may hold anything
				for j := max(int(v), 0); j < n; j++ {
					p[j*Lanes+i] = []float32{nan, inf, -inf, 1e30}[rng.IntN(4)]
				}
			}
			for i, special := range []float32{nan, inf, -inf} {
				if v := int(visible[i]); v > 0 {
					p[rng.IntN(v)*Lanes+i] = special
				}
			}
			if n > 0 {
				for j := range n { // a lane that sees only −Inf
					p[j*Lanes+3] = -inf
				}
			}
			before := append([]float32(nil), p...)
			var m, sum [Lanes]float32
			SoftmaxLanes(p, n, &visible, 0.3, &m, &sum)
			for i, v := range visible {
				x := column(before, i, int(v))
				Scale(x, x, 0.3)
				top := Max(x)
				if math.IsInf(float64(top), -1) {
					top = 0
				}
				want := ExpSub(x, x, top)
				what := fmt.Sprintf("n=%d lane %d of %d keys", n, i, v)
				sameOrNaN(t, what+": maximum", []float32{m[i]}, []float32{Max(scaled(column(before, i, int(v)), 0.3))})
				sameOrNaN(t, what+": sum", []float32{sum[i]}, []float32{want})
				sameOrNaN(t, what, column(p, i, rows), append(x, make([]float32, rows-len(x))...))
			}
		}
	})
}

func scaled(x []float32, s float32) []float32 {
	Scale(x, x, s)
	return x
}

// sameOrNaN is sameBits except that all NaNs are equal.
func sameOrNaN(t *testing.T, what string, got, want []float32) {
	t.Helper()
	alike := func(x []float32) []float32 {
		y := append([]float32(nil), x...)
		for i, v := range y {
			if v != v {
				y[i] = poison
			}
		}
		return y
	}
	sameBits(t, what, alike(got), alike(want))
}

func TestWeightedSumLanesLeavesOutWhatALaneDoesNotSee(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range []int{0, 1, 3, 4, 8, 15, 16, 24, 37, 128} {
			for _, n := range []int{0, 1, 5, 20} {
				const from = 3
				stride, to := d+2, from+n
				v, p := fill(rng, endOfPage(t, extent(to, d, stride, 1))), fill(rng, endOfPage(t, to*Lanes))
				visible := lengthsOf(rng, to)
				for i := range v { // a key that only some lanes see
					if i/stride == from {
						v[i] = float32(math.NaN())
					}
				}
				start := random(rng, d*Lanes)
				o := append([]float32(nil), start...)
				WeightedSumLanes(o, v, stride, d, p, from, to, &visible)
				for i, seen := range visible {
					want := column(start, i, d)
					if n := min(int(seen), to) - from; n > 0 && d > 0 {
						WeightedSum(want, column(p, i, to)[from:], v[from*stride:], stride, n, d)
					}
					sameOrNaN(t, fmt.Sprintf("d=%d keys %d to %d, lane %d sees %d", d, from, to, i, seen), column(o, i, d), want)
				}
			}
		}
	})
}

func TestMergeAndScaleLanesHaveTheBitsOfRows(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range []int{0, 1, 5, 64} {
			var a, b [Lanes]float32
			fill(rng, a[:])
			fill(rng, b[:])
			o, x := fill(rng, endOfPage(t, d*Lanes)), fill(rng, endOfPage(t, d*Lanes))
			start := append([]float32(nil), o...)
			MergeLanes(o, x, &a, &b)
			merged := append([]float32(nil), o...)
			ScaleLanes(o, &a)
			for i := range Lanes {
				want := scaled(column(start, i, d), a[i])
				AddScaled(want, column(x, i, d), b[i])
				sameBits(t, fmt.Sprintf("d=%d merged lane %d", d, i), column(merged, i, d), want)
				zero := make([]float32, d)
				AddScaled(zero, want, a[i])
				sameBits(t, fmt.Sprintf("d=%d scaled lane %d", d, i), column(o, i, d), zero)
			}
		}
	})
}

func TestScoreLanesHasTheBitsOfGemm(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range []int{0, 1, 15, 16, 33, 96} {
			for _, n := range []int{0, 1, 13, 14, 15, 28, 61} {
				stride := d + 5
				keys, queries := fill(rng, endOfPage(t, extent(n, d, stride, 1))), fill(rng, endOfPage(t, d*Lanes))
				got, want := poisoned(endOfPage(t, n*Lanes)), make([]float32, n*Lanes)
				ScoreLanes(got, keys, stride, n, d, queries)
				GemmPacked(n, Lanes, d, keys, stride, 1, queries, want, Lanes, false)
				sameBits(t, fmt.Sprintf("%d keys of %d", n, d), got, want)
			}
		}
	})
}
