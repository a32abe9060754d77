package asm

import (
	"fmt"
	"math"
)

// AdamWStep holds the settings that all parameters share in one AdamW step.
type AdamWStep struct {
	Step         int     // counts from 1; sets the bias corrections
	LR           float64 // learning rate
	Beta1, Beta2 float64 // decay of the first and second moment
	Eps          float64 // added to the root of the second moment
	WeightDecay  float64 // decoupled; 0 means none
	GradScale    float64 // multiplies every gradient, for example to clip it
}

// adamWCoeffs are the coefficients of one step, each rounded to float32 once.
type adamWCoeffs struct {
	gradScale, beta1, gain1, beta2, gain2, correct1, correct2, eps, lr, decay float32
}

func (s *AdamWStep) coeffs() adamWCoeffs {
	if s.Step < 1 {
		panic(fmt.Sprintf("asm: AdamW: step %d, want 1 or more", s.Step))
	}
	t := float64(s.Step)
	return adamWCoeffs{
		gradScale: float32(s.GradScale),
		beta1:     float32(s.Beta1), gain1: float32(1 - s.Beta1),
		beta2: float32(s.Beta2), gain2: float32(1 - s.Beta2),
		correct1: float32(1 / (1 - math.Pow(s.Beta1, t))),
		correct2: float32(1 / (1 - math.Pow(s.Beta2, t))),
		eps:      float32(s.Eps), lr: float32(s.LR), decay: float32(s.WeightDecay),
	}
}

// AdamW updates the elements of w and their moments m and v for the gradient g,
// with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2, with
// the decay scaled by the learning rate):
//
//	m ← β₁m + (1−β₁)g      m̂ = m/(1−β₁ᵗ)
//	v ← β₂v + (1−β₂)g²     v̂ = v/(1−β₂ᵗ)
//	w ← w − LR·(m̂/(√v̂+Eps) + WeightDecay·w)
//
// It panics if the step is not positive.
func AdamW(w, g, m, v []float32, s *AdamWStep) {
	n := len(w)
	need("AdamW", "g", len(g), n)
	need("AdamW", "m", len(m), n)
	need("AdamW", "v", len(v), n)
	c := s.coeffs()
	adamW(w, g, m, v, &c)
}

func adamWGeneric(w, g, m, v []float32, c *adamWCoeffs) {
	for i := range w {
		d := g[i] * c.gradScale
		m[i] = float32(m[i]*c.beta1) + float32(c.gain1*d)
		v[i] = float32(v[i]*c.beta2) + float32(c.gain2*float32(d*d))
		root := float32(math.Sqrt(float64(float32(v[i] * c.correct2))))
		u := float32(m[i]*c.correct1) / (root + c.eps)
		u += float32(c.decay * w[i])
		w[i] -= float32(c.lr * u)
	}
}
