package asm

import (
	"fmt"
	"math"
	"testing"
)

func TestRotateTurnsEachPairByItsAngle(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, half := range []int{1, 3, 8, 15, 16, 17, 32, 37, 64} {
			for _, rows := range []int{0, 1, 2, 5} {
				for _, interleaved := range []bool{false, true} {
					for _, sign := range []float32{1, -1} {
						x, y := fill(rng, endOfPage(t, rows*2*half)), poisoned(endOfPage(t, rows*2*half))
						cos, sin := endOfPage(t, half), endOfPage(t, half)
						for i := range half {
							s, c := math.Sincos(rng.Float64() * 2 * math.Pi)
							cos[i], sin[i] = float32(c), float32(s)
						}
						Rotate(y, x, cos, sin, sign, interleaved)
						want := make([]float32, len(x))
						for i := range x {
							k, other := i%half, i+half
							minus := i/half%2 == 0
							if interleaved {
								k, other, minus = i%(2*half)/2, i^1, i%2 == 0
							} else if !minus {
								other = i - half
							}
							s := float32(x[other] * sign * sin[k])
							if minus {
								s = -s
							}
							want[i] = float32(x[i]*cos[k]) + s
						}
						what := fmt.Sprintf("%d rows, %d pairs, interleaved %t, sign %g", rows, half, interleaved, sign)
						sameBits(t, what, y, want)
						Rotate(x, x, cos, sin, sign, interleaved)
						sameBits(t, what+" in place", x, want)
					}
				}
			}
		}
	})
}
