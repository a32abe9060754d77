package rl

import (
	"math"

	"github.com/aha-go/aha/backend/tensor"
)

// Divergence selects the estimate of KL(π_θ ‖ π_ref) from sampled tokens, a function of
// x = log π_θ − log π_ref (Schulman, "Approximating KL Divergence").
type Divergence string

const (
	// DivergenceK3 is e^−x + x − 1: unbiased and never negative. It is the default.
	DivergenceK3 Divergence = "k3"
	// DivergenceK1 is x: unbiased, of either sign. Its gradient is 0 on average.
	DivergenceK1 Divergence = "k1"
	// DivergenceK2 is x²/2. Its gradient is unbiased if the tokens are sampled from π_θ.
	DivergenceK2 Divergence = "k2"
	// DivergenceK3Unbiased is ρ·(e^−x + x − 1) with the importance ratio ρ. Its gradient
	// is unbiased for off-policy samples too (DeepSeek-V3.2, arXiv 2512.02556 §3.1). It is
	// the default of TRL since version 1.16 (use_bias_correction_kl).
	DivergenceK3Unbiased Divergence = "k3_unbiased"
)

// divergence returns the estimate for each row, [N].
func (o Objective) divergence(t Tokens, ratio tensor.Tensor) tensor.Tensor {
	switch o.Divergence {
	case DivergenceK1:
		return tensor.Sub(t.LogProb, t.RefLogProb)
	case DivergenceK2:
		x := tensor.Sub(t.LogProb, t.RefLogProb)
		return tensor.Scale(tensor.Mul(x, x), 0.5)
	case DivergenceK3Unbiased:
		return tensor.Mul(ratio, K3(t.LogProb, t.RefLogProb))
	}
	return K3(t.LogProb, t.RefLogProb)
}

// divergenceOf computes Objective.divergence on the host, for one token with importance
// ratio ratio.
func (o Objective) divergenceOf(logProb, ref, ratio float64) float64 {
	x := logProb - ref
	switch o.Divergence {
	case DivergenceK1:
		return x
	case DivergenceK2:
		return x * x / 2
	case DivergenceK3Unbiased:
		return ratio * k3(logProb, ref)
	}
	return k3(logProb, ref)
}

// K3 returns Schulman's unbiased, never negative estimate of KL(π_θ ‖ π_ref) for each
// sampled token: e^x − x − 1 with x = log π_ref − log π_θ. Its derivative with respect to
// log π_θ is 1 − π_ref/π_θ.
func K3(logProb, refLogProb tensor.Tensor) tensor.Tensor {
	x := tensor.Clamp(tensor.Sub(refLogProb, logProb), -maxLogRatio, maxLogRatio)
	return tensor.Affine(tensor.Sub(tensor.Exp(x), x), 1, -1)
}

// k3 computes K3 on the host: an estimate of KL(p ‖ q) from the log-probabilities of
// a token sampled from p.
func k3(logP, logQ float64) float64 {
	x := boundLogRatio(logQ - logP)
	return math.Expm1(x) - x
}
