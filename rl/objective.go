package rl

import (
	"cmp"

	"github.com/aha-go/aha/backend/tensor"
)

// Surrogate says how the loss of a token comes from the importance ratio ρ and the
// advantage A. The table of losses in the package documentation has their papers.
type Surrogate string

const (
	// SurrogateClip is −min(ρ·A, clip(ρ, 1−ε_low, 1+ε_high)·A): PPO, GRPO, DAPO and
	// Dr.GRPO, with LevelSequence GSPO. It is what the empty Surrogate means.
	SurrogateClip Surrogate = "clip"
	// SurrogateCISPO is −sg(clip(ρ, 1−ε_low, 1+ε_high))·A·log π_θ: clipping bounds
	// the weight of a token and never drops its gradient.
	SurrogateCISPO Surrogate = "cispo"
	// SurrogateSAPO is −σ(τ·(ρ−1))·4/τ·A, a soft gate in place of the clip, with
	// TauPositive where A > 0 and TauNegative elsewhere.
	SurrogateSAPO Surrogate = "sapo"
	// SurrogateReinforce is −A·log π_θ, without an importance ratio.
	SurrogateReinforce Surrogate = "reinforce"
	// SurrogateMirrorDescent is −A·log π_θ + τ/2·(log π_θ/π_old)², with τ =
	// MirrorTau. At LevelSequence both logarithms are of the whole completion, as
	// Kimi k1.5 has it, exactly so with LossLUSPO; at LevelToken they are of the
	// token: verl's dro.
	SurrogateMirrorDescent Surrogate = "mirror_descent"
)

// Level says of what the importance ratio of a token is: of the token, or of its
// completion o of |o| tokens.
type Level string

const (
	// LevelToken is ρ_t = π_θ/π_old of the token. It is what the empty Level means.
	LevelToken Level = "token"
	// LevelSequence is s = exp(mean_t log ρ_t), for all tokens of the completion: GSPO.
	LevelSequence Level = "sequence"
	// LevelSequenceToken is s with the gradient of the token alone, sg(s)·ρ_t/sg(ρ_t):
	// GSPO-token, for advantages that differ within a completion.
	LevelSequenceToken Level = "sequence_token"
	// LevelTrajectory is Π_t ρ_t, the ratio of the whole completion: TRL's
	// RLOOTrainer, exactly so with LossGRPO.
	LevelTrajectory Level = "trajectory"
)

// Objective is the loss of a token: a surrogate of its advantage, the divergence
// from the reference model and the entropy bonus.
type Objective struct {
	Surrogate Surrogate `json:",omitempty"` // "" means SurrogateClip
	Level     Level     `json:",omitempty"` // of the importance ratio; "" means LevelToken
	// EpsilonLow bounds the importance ratio from below at 1−EpsilonLow; 0
	// means 0.2, and no bound for SurrogateCISPO. GSPO's is 3e-4.
	EpsilonLow float64
	// EpsilonHigh bounds it from above at 1+EpsilonHigh; 0 means EpsilonLow, and 4
	// for SurrogateCISPO, where TRL's epsilon_high is the bound itself, 5. DAPO's
	// clip-higher is 0.28; DeepSeek-R1 used 10; GSPO's is 4e-4.
	EpsilonHigh float64
	// DualClip c bounds the ratio of SurrogateClip at c where the advantage is
	// negative, which nothing bounds from above otherwise (arXiv 1912.09729): TRL's
	// delta, verl's clip_ratio_c, which is 3. It is above 1+EpsilonHigh; 0 means no bound.
	DualClip float64 `json:",omitempty"`
	// TauPositive and TauNegative are the temperatures of SurrogateSAPO; 0 means 1
	// and 1.05.
	TauPositive float64 `json:",omitempty"`
	TauNegative float64 `json:",omitempty"`
	// MirrorTau weighs the penalty of SurrogateMirrorDescent, which requires it.
	MirrorTau float64 `json:",omitempty"`
	// Beta weighs the divergence from the reference model; 0 means none, and no
	// reference model but for GRPO.RewardKL. DeepSeek-R1-Zero used 0.001.
	Beta float64
	// Divergence is the estimate that Beta weighs; "" means DivergenceK3.
	Divergence Divergence `json:",omitempty"`
	// EntropyCoef c subtracts c times the mean entropy of the completion tokens
	// from the loss; 0 means no bonus. The mean is plain, as TRL's: it does not
	// depend on the LossType.
	EntropyCoef float64
}

// recorded is o as checkpoints have it, where a default that has a name is empty.
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

// bounds are the limits of the importance ratio.
func (o Objective) bounds() (lo, hi float64) {
	if o.Surrogate == SurrogateCISPO {
		return 1 - cmp.Or(o.EpsilonLow, 1), 1 + cmp.Or(o.EpsilonHigh, 4)
	}
	low := cmp.Or(o.EpsilonLow, 0.2)
	return 1 - low, 1 + cmp.Or(o.EpsilonHigh, low)
}

// maxLogRatio bounds log-ratios on both sides before they are exponentiated, as
// verl does and TRL does not, so that one token cannot overflow a step.
const maxLogRatio = 20

// Loss is −J (arXiv 2402.03300 eq. 3), of shape [1], with the entropy bonus:
//
//	loss = Σ w·( surrogate(ρ, A) + β·divergence ) − c·mean(H)
//
// with the surrogate times Tokens.Importance where that is present.
func (o Objective) Loss(t Tokens) tensor.Tensor { return o.withEntropy(t, o.policyLoss(t)) }

// policyLoss is the loss without the entropy bonus, of shape [1].
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

// ratio is the importance ratio of each row, [N].
func (o Objective) ratio(t Tokens) tensor.Tensor {
	log := tensor.Sub(t.LogProb, t.OldLogProb)
	switch o.Level {
	case LevelSequence:
		log = t.SequenceMean(log)
	case LevelTrajectory:
		log = t.SequenceSum(log)
	case LevelSequenceToken:
		own := tensor.Sub(t.LogProb, tensor.Detach(t.LogProb)) // 0, with the token's gradient
		log = tensor.Add(tensor.Detach(t.SequenceMean(log)), own)
	}
	return tensor.Exp(tensor.Clamp(log, -maxLogRatio, maxLogRatio))
}

// surrogate is the loss of each row by its advantage, [N].
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

// clip bounds the importance ratio.
func (o Objective) clip(ratio tensor.Tensor) tensor.Tensor {
	lo, hi := o.bounds()
	return tensor.Clamp(ratio, lo, hi)
}

// gate is SAPO's σ(τ·(ρ−1))·4/τ, whose derivative at ρ = 1 is 1.
func gate(ratio tensor.Tensor, tau float64) tensor.Tensor {
	return tensor.Scale(tensor.Sigmoid(tensor.Affine(ratio, tau, -tau)), 4/tau)
}
