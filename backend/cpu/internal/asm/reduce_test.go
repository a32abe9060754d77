package asm

import (
	"math"
	"testing"
)

func TestSumsOfProductsEndWithTheFirstRow(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		nan := float32(math.NaN())
		for _, n := range rowSizes {
			x, y, z := random(rng, n), random(rng, n), random(rng, n)
			longer := func(x []float32) []float32 { return append(append([]float32(nil), x...), nan, nan) }
			sameBits(t, "Dot", []float32{Dot(x, longer(y))}, []float32{Dot(x, y)})
			sameBits(t, "dot3", []float32{dot3(x, longer(y), longer(z))}, []float32{dot3(x, y, z)})
		}
	})
}
