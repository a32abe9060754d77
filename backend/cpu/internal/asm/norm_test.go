package asm

import (
	"fmt"
	"math"
	"testing"
)

func rmsNorm64(x, w []float64, eps float64) (y []float64, rstd float64) {
	for _, v := range x {
		rstd += v * v
	}
	rstd = 1 / math.Sqrt(rstd/float64(len(x))+eps)
	y = make([]float64, len(x))
	for i := range x {
		y[i] = x[i] * rstd * w[i]
	}
	return y, rstd
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestRMSNormRowMatchesFloat64Definition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, n := range rowSizes {
			x, w, y := fill(rng, endOfPage(t, n)), fill(rng, endOfPage(t, n)), endOfPage(t, n)
			rstd := RMSNormRow(y, x, w, 1e-6)
			if n == 0 {
				continue
			}
			want, wantRstd := rmsNorm64(widen(x), widen(w), float64(float32(1e-6)))
			near(t, fmt.Sprintf("n=%d: rstd", n), rstd, wantRstd, 12*eps32*wantRstd)
			for i := range y {
				near(t, fmt.Sprintf("n=%d: y[%d]", n, i), y[i], want[i], 16*eps32*math.Abs(want[i]))
			}
			sameBits(t, "rstd in place", []float32{RMSNormRow(x, x, w, 1e-6)}, []float32{rstd})
			sameBits(t, "y in place", x, y)
		}
	})
}

func TestRMSNormGradRowMatchesFiniteDifferences(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const eps, h = 1e-5, 1e-5
		for _, n := range rowSizes {
			x, w, dy, dx := fill(rng, endOfPage(t, n)), fill(rng, endOfPage(t, n)), fill(rng, endOfPage(t, n)), endOfPage(t, n)
			y := make([]float32, n)
			RMSNormGradRow(dx, dy, x, w, RMSNormRow(y, x, w, eps))
			x64, w64 := widen(x), widen(w)
			loss := func() (l float64) {
				y, _ := rmsNorm64(x64, w64, eps)
				for i := range y {
					l += y[i] * float64(dy[i])
				}
				return l
			}
			for i := range n {
				at := x64[i]
				x64[i] = at + h
				up := loss()
				x64[i] = at - h
				down := loss()
				x64[i] = at
				near(t, fmt.Sprintf("n=%d: dx[%d]", n, i), dx[i], (up-down)/(2*h), 2e-5)
			}
		}
	})
}
