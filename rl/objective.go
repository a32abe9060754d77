package rl

import (
	"cmp"

	"github.com/aha-go/aha/backend/tensor"
)

// Surrogate selects the loss of a token as a function of the importance ratio ρ and the
// advantage A. The table of losses in the package documentation cites the papers.
type Surrogate string

const (
	// SurrogateClip is −min(ρ·A, clip(ρ, 1−ε_low, 1+ε_high)·A): PPO, GRPO, DAPO and
	// Dr.GRPO; with LevelSequence, GSPO. It is the default.
	SurrogateClip Surrogate = "clip"
	// SurrogateCISPO is −sg(clip(ρ, 1−ε_low, 1+ε_high))·A·log π_θ, where sg is
	// stop-gradient: clipping limits the weight of a token but keeps its gradient.
	SurrogateCISPO Surrogate = "cispo"
	// SurrogateSAPO is −σ(τ·(ρ−1))·4/τ·A, a soft gate instead of a clip. τ is TauPositive
	// if A > 0, otherwise TauNegative.
	SurrogateSAPO Surrogate = "sapo"
	// SurrogateReinforce is −A·log π_θ, without an importance ratio.
	SurrogateReinforce Surrogate = "reinforce"
	// SurrogateMirrorDescent is −A·log π_θ + τ/2·(log π_θ/π_old)², with τ = MirrorTau. At
	// LevelSequence both logarithms are those of the whole completion; with LossLUSPO this
	// is exactly the loss of Kimi k1.5. At LevelToken they are those of the token: verl's
	// dro.
	SurrogateMirrorDescent Surrogate = "mirror_descent"
)

// Level selects whether the importance ratio is computed for each token or for each
// completion.
type Level string

const (
	// LevelToken uses ρ_t = π_θ/π_old of the token. It is the default.
	LevelToken Level = "token"
	// LevelSequence uses s = exp(mean_t log ρ_t) for all tokens of the completion: GSPO.
	LevelSequence Level = "sequence"
	// LevelSequenceToken uses the value s with the gradient of the token's own ratio,
	// sg(s)·ρ_t/sg(ρ_t): GSPO-token, for advantages that differ within a completion.
	LevelSequenceToken Level = "sequence_token"
	// LevelTrajectory uses Π_t ρ_t, the ratio of the whole completion. With LossGRPO it
	// gives exactly the loss of TRL's RLOOTrainer.
	LevelTrajectory Level = "trajectory"
)

// Objective is the loss of a token: the surrogate, the divergence from the reference model
// and the entropy bonus.
type Objective struct {
	Surrogate Surrogate `json:",omitempty"` // "" means SurrogateClip
	Level     Level     `json:",omitempty"` // level of the importance ratio; "" means LevelToken
	// EpsilonLow sets the lower clipping bound of the importance ratio, 1−EpsilonLow; 0 means
	// 0.2, or no bound for SurrogateCISPO. GSPO uses 3e-4.
	EpsilonLow float64
	// EpsilonHigh sets the upper clipping bound of the importance ratio, 1+EpsilonHigh; 0
	// means EpsilonLow, or 4 for SurrogateCISPO, for which TRL's epsilon_high is the bound
	// itself, 5. DAPO (clip-higher) uses 0.28, DeepSeek-R1 used 10, GSPO uses 4e-4.
	EpsilonHigh float64
	// DualClip is an upper bound of the ratio of SurrogateClip for negative advantages,
	// where the ratio is otherwise unbounded (arXiv 1912.09729): TRL's delta, verl's
	// clip_ratio_c, 3 by default there. It must be above 1+EpsilonHigh; 0 means no bound.
	DualClip float64 `json:",omitempty"`
	// TauPositive and TauNegative are the temperatures of SurrogateSAPO; 0 means 1
	// and 1.05.
	TauPositive float64 `json:",omitempty"`
	TauNegative float64 `json:",omitempty"`
	// MirrorTau is the coefficient of the penalty of SurrogateMirrorDescent, which
	// requires it.
	MirrorTau float64 `json:",omitempty"`
	// Beta is the coefficient of the divergence from the reference model; 0 means none, and
	// then there is no reference model unless GRPO.RewardKL is set. DeepSeek-R1-Zero used
	// 0.001.
	Beta float64
	// Divergence is the estimate that Beta multiplies; "" means DivergenceK3.
	Divergence Divergence `json:",omitempty"`
	// EntropyCoef is the coefficient of the entropy bonus, the mean entropy of the completion
	// tokens, which is subtracted from the loss; 0 means no bonus. As in TRL, all tokens have
	// the same weight in this mean, whatever the LossType.
	EntropyCoef float64
}

// recorded returns o as it is stored in checkpoints: named defaults are replaced by "".
func (o Objective) recorded() Objective {
	if o.Surrogate == SurrogateClip {
		o.Surrogate = ""
	}
	if o.Level == LevelToken {
		o.Level = ""
	}
	if o.Divergence == DivergenceK3 {
		o.Divergence = ""
	}
	return o
}

// bounds returns the clipping bounds of the importance ratio.
func (o Objective) bounds() (lo, hi float64) {
	if o.Surrogate == SurrogateCISPO {
		return 1 - cmp.Or(o.EpsilonLow, 1), 1 + cmp.Or(o.EpsilonHigh, 4)
	}
	low := cmp.Or(o.EpsilonLow, 0.2)
	return 1 - low, 1 + cmp.Or(o.EpsilonHigh, low)
}

// maxLogRatio bounds the absolute value of log-ratios before they are exponentiated, so
// that a single token cannot cause an overflow. verl does the same, TRL does not.
const maxLogRatio = 20

// Loss returns −J (arXiv 2402.03300 eq. 3) minus the entropy bonus, of shape [1]:
//
//	loss = Σ w·( surrogate(ρ, A) + β·divergence ) − c·mean(H)
//
// If Tokens.Importance is present, it multiplies the surrogate.
func (o Objective) Loss(t Tokens) tensor.Tensor { return o.withEntropy(t, o.policyLoss(t)) }

// policyLoss returns the loss without the entropy bonus, of shape [1].
func (o Objective) policyLoss(t Tokens) tensor.Tensor {
	ratio := o.ratio(t)
	loss := o.surrogate(t, ratio)
	if t.Importance.Present() {
		loss = tensor.Mul(loss, t.Importance)
	}
	if o.Beta != 0 {
		loss = tensor.Add(loss, tensor.Scale(o.divergence(t, ratio), o.Beta))
	}
	return tensor.Sum(tensor.Mul(t.Weight, loss))
}

func (o Objective) withEntropy(t Tokens, policyLoss tensor.Tensor) tensor.Tensor {
	if o.EntropyCoef == 0 {
		return policyLoss
	}
	mean := tensor.Sum(tensor.Mul(t.MeanWeight, t.Entropy))
	return tensor.Sub(policyLoss, tensor.Scale(mean, o.EntropyCoef))
}

// ratio returns the importance ratio of each row, [N].
func (o Objective) ratio(t Tokens) tensor.Tensor {
	log := tensor.Sub(t.LogProb, t.OldLogProb)
	switch o.Level {
	case LevelSequence:
		log = t.SequenceMean(log)
	case LevelTrajectory:
		log = t.SequenceSum(log)
	case LevelSequenceToken:
		own := tensor.Sub(t.LogProb, tensor.Detach(t.LogProb)) // its value is 0, its gradient the token's
		log = tensor.Add(tensor.Detach(t.SequenceMean(log)), own)
	}
	return tensor.Exp(tensor.Clamp(log, -maxLogRatio, maxLogRatio))
}

// surrogate returns the surrogate loss of each row, [N].
func (o Objective) surrogate(t Tokens, ratio tensor.Tensor) tensor.Tensor {
	switch o.Surrogate {
	case SurrogateCISPO:
		return tensor.Neg(tensor.Mul(tensor.Mul(tensor.Detach(o.clip(ratio)), t.Advantage), t.LogProb))
	case SurrogateSAPO:
		positive := tensor.ReLU(t.Advantage)
		negative := tensor.Sub(t.Advantage, positive)
		return tensor.Neg(tensor.Add(
			tensor.Mul(gate(ratio, cmp.Or(o.TauPositive, 1)), positive),
			tensor.Mul(gate(ratio, cmp.Or(o.TauNegative, 1.05)), negative)))
	case SurrogateReinforce:
		return tensor.Neg(tensor.Mul(t.Advantage, t.LogProb))
	case SurrogateMirrorDescent:
		log := tensor.Sub(t.LogProb, t.OldLogProb)
		square := tensor.Mul(log, log)
		if o.Level == LevelSequence { // Σ_t log_t·Σ_u log_u = (Σ_t log_t)²
			square = tensor.Mul(log, t.SequenceSum(log))
		}
		return tensor.Sub(tensor.Scale(square, o.MirrorTau/2), tensor.Mul(t.Advantage, t.LogProb))
	}
	clipped := o.clip(ratio)
	if o.DualClip != 0 {
		ratio = tensor.Clamp(ratio, 0, o.DualClip)
	}
	return tensor.Neg(tensor.Minimum(tensor.Mul(ratio, t.Advantage), tensor.Mul(clipped, t.Advantage)))
}

// clip clips the importance ratio.
func (o Objective) clip(ratio tensor.Tensor) tensor.Tensor {
	lo, hi := o.bounds()
	return tensor.Clamp(ratio, lo, hi)
}

// gate is SAPO's σ(τ·(ρ−1))·4/τ, whose derivative at ρ = 1 is 1.
func gate(ratio tensor.Tensor, tau float64) tensor.Tensor {
	return tensor.Scale(tensor.Sigmoid(tensor.Affine(ratio, tau, -tau)), 4/tau)
}
