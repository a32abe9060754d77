package train

import (
	"cmp"
	"errors"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019); see backend.AdamW
// for the formula. The default coefficients are those of DeepSeek-V3 (§4.2).
type AdamW struct {
	LR    float64 // peak learning rate; required
	Beta1 float64 // decay rate of the first moment; 0 means 0.9
	Beta2 float64 // decay rate of the second moment; 0 means 0.95
	Eps   float64 // added to the denominator; 0 means 1e-8
	// WeightDecay shrinks matrices by LR·WeightDecay each step; 0 means none, V3 uses 0.1.
	// Vectors (Param.Decay false) are not decayed.
	WeightDecay float64
	// BF16Moments stores both moments of F32 parameters in BF16, as V3 does (§3.3.3), which
	// halves their memory.
	BF16Moments bool
}

// Validate checks that LR is above 0, that the betas are within [0, 1), that Eps and
// WeightDecay are 0 or more, that all are finite, and that float32 does not round Eps to 0.
func (a AdamW) Validate() error {
	return errors.Join(positive("AdamW.LR", a.LR), a.coefficients("AdamW"))
}

// coefficients checks all fields except LR.
func (a AdamW) coefficients(name string) error {
	return errors.Join(
		fraction(name+".Beta1", a.Beta1), fraction(name+".Beta2", a.Beta2),
		divisor(name+".Eps", a.Eps), notNegative(name+".WeightDecay", a.WeightDecay),
	)
}

// LearningRate returns LR.
func (a AdamW) LearningRate() float64 { return a.LR }

// Moments returns the running means of the gradient and of its square.
func (a AdamW) Moments(p *tensor.Param) []Moment {
	dt := p.Value().DType
	if a.BF16Moments && dt == backend.F32 {
		dt = backend.BF16
	}
	return []Moment{{"exp_avg", dt}, {"exp_avg_sq", dt}}
}

// Update makes one step.
func (a AdamW) Update(s *tensor.Scope, p *tensor.Param, g backend.View, m []backend.View, at backend.View) {
	decay := a.WeightDecay
	if !p.Decay {
		decay = 0
	}
	s.Do(&backend.AdamW{
		W: p.Value(), G: g, M: m[0], V: m[1], At: at, LR: a.LR,
		Beta1: cmp.Or(a.Beta1, 0.9), Beta2: cmp.Or(a.Beta2, 0.95), Eps: cmp.Or(a.Eps, 1e-8),
		WeightDecay: decay,
	})
}
