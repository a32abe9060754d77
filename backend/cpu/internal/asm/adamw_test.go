package asm

import (
	"fmt"
	"math"
	"testing"
)

func TestAdamWMatchesFloat64DefinitionOverManySteps(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const steps = 20
		for _, n := range rowSizes {
			w, m, v := fill(rng, endOfPage(t, n)), endOfPage(t, n), endOfPage(t, n)
			w64, m64, v64 := widen(w), make([]float64, n), make([]float64, n)
			for step := 1; step <= steps; step++ {
				g := fill(rng, endOfPage(t, n))
				AdamW(w, g, m, v, &AdamWStep{Step: step, LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1,
					GradScale: 0.5})
				for i := range w64 {
					d := 0.5 * float64(g[i])
					m64[i] = 0.9*m64[i] + 0.1*d
					v64[i] = 0.95*v64[i] + 0.05*d*d
					mHat := m64[i] / (1 - math.Pow(0.9, float64(step)))
					vHat := v64[i] / (1 - math.Pow(0.95, float64(step)))
					w64[i] -= 0.01 * (mHat/(math.Sqrt(vHat)+1e-8) + 0.1*w64[i])
				}
			}
			for i := range w {
				near(t, fmt.Sprintf("n=%d: w[%d]", n, i), w[i], w64[i], steps*4*eps32*(math.Abs(w64[i])+0.02*steps))
				near(t, fmt.Sprintf("n=%d: m[%d]", n, i), m[i], m64[i], 40*eps32)
				near(t, fmt.Sprintf("n=%d: v[%d]", n, i), v[i], v64[i], 40*eps32)
			}
		}
	})
}

func TestAdamWFirstStepMovesByTheLearningRate(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		// If the moments are zero, the first update is the sign of the
		// gradient.
		w, m, v := []float32{1, 1, 1}, make([]float32, 3), make([]float32, 3)
		AdamW(w, []float32{3, -0.01, 0}, m, v, &AdamWStep{Step: 1, LR: 0.25, Beta1: 0.9, Beta2: 0.95, Eps: 1e-12,
			GradScale: 1})
		for i, want := range []float64{0.75, 1.25, 1} {
			near(t, fmt.Sprintf("w[%d]", i), w[i], want, 1e-6)
		}
	})
}

func TestAdamWUpdatesEachElementAlike(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const n = 43
		w, g, m, v := random(rng, n), random(rng, n), random(rng, n), random(rng, n)
		for i := range v {
			v[i] *= v[i]
		}
		clone := func(x []float32) []float32 { return append([]float32(nil), x...) }
		w1, m1, v1 := clone(w), clone(m), clone(v)
		s := &AdamWStep{Step: 7, LR: 3e-4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5}
		AdamW(w, g, m, v, s)
		for i := range n {
			AdamW(w1[i:][:1], g[i:], m1[i:], v1[i:], s)
		}
		sameBits(t, "w", w1, w)
		sameBits(t, "m", m1, m)
		sameBits(t, "v", v1, v)
	})
}
