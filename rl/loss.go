package rl

import (
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// Tokens is what a loss sees of a micro-batch: N packed rows, of which those
// that predict completion tokens count. In all others LogProb, OldLogProb,
// RefLogProb, Advantage and Weight are 0.
type Tokens struct {
	// LogProb [N] is log π_θ of the sampled token. Every π is the distribution that
	// the rollout drew from: at its temperature, and over the tokens that its top-k
	// and top-p left when it was sampled, which are constants.
	LogProb    tensor.Tensor
	Entropy    tensor.Tensor // [N]: of π_θ, in nats
	OldLogProb tensor.Tensor // [N]: log π_old, written down while sampling
	RefLogProb tensor.Tensor // [N]: log π_ref; absent without a reference model
	Advantage  tensor.Tensor // [N]
	// Weight [N] is the share of each token in the loss. It is normalised over
	// the global batch, so that a loss is a weighted sum and splitting a batch
	// into micro-batches changes nothing; see LossType.
	Weight tensor.Tensor
	// MeanWeight [N] is 1 over the number of completion tokens of the optimizer
	// update: a sum weighted by it is the plain mean over them, whatever the
	// LossType.
	MeanWeight tensor.Tensor

	Batch  model.Batch
	Output model.Output
}

// Objective is the clipped surrogate of GRPO and its terms.
type Objective struct {
	// EpsilonLow bounds the importance ratio from below at 1−EpsilonLow; 0
	// means 0.2.
	EpsilonLow float64
	// EpsilonHigh bounds it from above at 1+EpsilonHigh; 0 means EpsilonLow.
	// DAPO's clip-higher is 0.28; DeepSeek-R1 used 10.
	EpsilonHigh float64
	// Beta weighs the divergence from the reference model; 0 means none, and no
	// reference model. DeepSeek-R1-Zero used 0.001.
	Beta float64
	// EntropyCoef c subtracts c times the mean entropy of the completion tokens
	// from the loss; 0 means no bonus. The mean is plain, as TRL's: it does not
	// depend on the LossType.
	EntropyCoef float64
}

// bounds are the limits of the importance ratio.
func (o Objective) bounds() (lo, hi float64) {
	low, high := o.EpsilonLow, o.EpsilonHigh
	if low == 0 {
		low = 0.2
	}
	if high == 0 {
		high = low
	}
	return 1 - low, 1 + high
}

// maxLogRatio bounds log-ratios on both sides before they are exponentiated, as
// verl does and TRL does not, so that one token cannot overflow a step.
const maxLogRatio = 20

// Loss is −J (arXiv 2402.03300 eq. 3), of shape [1], with the entropy bonus:
//
//	ρ = π_θ/π_old
//	k3 = π_ref/π_θ − log(π_ref/π_θ) − 1
//	loss = Σ w·( −min(ρ·A, clip(ρ, 1−ε_low, 1+ε_high)·A) + β·k3 ) − c·mean(H)
func (o Objective) Loss(t Tokens) tensor.Tensor {
	lo, hi := o.bounds()
	ratio := tensor.Exp(logRatio(t.LogProb, t.OldLogProb))
	clipped := tensor.Clamp(ratio, lo, hi)
	loss := tensor.Neg(tensor.Minimum(tensor.Mul(ratio, t.Advantage), tensor.Mul(clipped, t.Advantage)))
	if o.Beta != 0 {
		loss = tensor.Add(loss, tensor.Scale(K3(t.LogProb, t.RefLogProb), o.Beta))
	}
	total := tensor.Sum(tensor.Mul(t.Weight, loss))
	if o.EntropyCoef != 0 {
		total = tensor.Sub(total, tensor.Scale(tensor.Sum(tensor.Mul(t.MeanWeight, t.Entropy)), o.EntropyCoef))
	}
	return total
}

// K3 is Schulman's unbiased, never negative estimate of KL(π_θ ‖ π_ref) from
// sampled tokens, e^x − x − 1 with x = log π_ref − log π_θ, element by element.
// Its derivative by log π_θ is 1 − π_ref/π_θ.
func K3(logProb, refLogProb tensor.Tensor) tensor.Tensor {
	x := logRatio(refLogProb, logProb)
	return tensor.Affine(tensor.Sub(tensor.Exp(x), x), 1, -1)
}

// logRatio is log(p/q), bounded.
func logRatio(p, q tensor.Tensor) tensor.Tensor {
	return tensor.Clamp(tensor.Sub(p, q), -maxLogRatio, maxLogRatio)
}

// LossType says how the losses of tokens are averaged. Names and formulas are
// TRL's, with its gradient_accumulation_steps at 1. |o| is the number of tokens
// of a completion, Σ goes over the tokens of one optimizer update, and a rollout
// feeds M = MiniBatches updates per iteration. Tokens masked by
// GRPO.MaskTruncated are in no Σ.
//
// Two things are not TRL's. Completions without a reward are in no count, where
// TRL keeps their divergence. GRPO.SkipZeroStd, which TRL lacks, takes groups
// out of every count but that of LossDrGRPO.
type LossType string

const (
	// LossDAPO is Σℓ / (tokens of the rollout / M): every token weighs the same
	// (arXiv 2503.14476; verl's token-mean). It is what the empty LossType means.
	LossDAPO LossType = "dapo"
	// LossGRPO is (M/n) Σ_i (1/|o_i|) Σ_t ℓ with the n completions of the
	// rollout, masked ones included: every completion weighs the same, so that a
	// token of a long one weighs less.
	LossGRPO LossType = "grpo"
	// LossDrGRPO is Σℓ / (n·MaxTokens) with the n samples of the rollout, masked
	// and skipped ones included, over M: a constant (arXiv 2503.20783).
	LossDrGRPO LossType = "dr_grpo"
	// LossBNPO is Σℓ / tokens of the update: as LossDAPO, but where an update's
	// completions are short its tokens weigh more.
	LossBNPO LossType = "bnpo"
)

// normalizer are the counts that token weights come from.
type normalizer struct {
	updates       int // M: mini-batches that the rollout is split into
	allSamples    int // of the rollout
	kept          int // of them, those with a reward and in a group that is not skipped
	rolloutTokens int // in the loss
	tokens        int // in the loss of the update
	maxTokens     int // longest completion allowed
}

// weight is the weight of each token of a completion of the given length.
func (l LossType) weight(n normalizer, length int) float64 {
	switch l {
	case LossGRPO:
		return float64(n.updates) / (float64(n.kept) * float64(length))
	case LossDrGRPO:
		return float64(n.updates) / (float64(n.allSamples) * float64(n.maxTokens))
	case LossBNPO:
		return 1 / float64(n.tokens)
	}
	return float64(n.updates) / float64(n.rolloutTokens)
}
