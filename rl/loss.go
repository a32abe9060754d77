package rl

import (
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// Tokens is what a loss sees of a micro-batch: N packed rows, of which those
// that predict completion tokens count. In all others LogProb, OldLogProb,
// RefLogProb, Advantage, Importance and Weight are 0.
type Tokens struct {
	// LogProb [N] is log π_θ of the sampled token. Every π is the distribution that
	// the rollout drew from: at its temperature, and over the tokens that its top-k
	// and top-p left when it was sampled, which are constants.
	LogProb tensor.Tensor
	Entropy tensor.Tensor // [N]: of π_θ, in nats
	// OldLogProb [N] is log π_old, written down while sampling, or under
	// OffPolicy.Correction that of the model before the first update.
	OldLogProb tensor.Tensor
	RefLogProb tensor.Tensor // [N]: log π_ref; absent without a reference model
	Advantage  tensor.Tensor // [N]
	// Importance [N] weighs the surrogate of each token; absent without GRPO.OffPolicy.
	Importance tensor.Tensor
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

// SequenceSum sums x [N], which is 0 where LogProb is, over each completion. The
// result [N] has the sum of a completion at each row of its sequence.
func (t Tokens) SequenceSum(x tensor.Tensor) tensor.Tensor {
	return t.spread(tensor.SegmentSum(x, t.Batch.SeqStart))
}

// SequenceMean is SequenceSum divided by the number of tokens of the completion.
func (t Tokens) SequenceMean(x tensor.Tensor) tensor.Tensor {
	var lengths []float64
	for _, q := range t.Batch.Host {
		n := 0.0
		for _, w := range q.Weight {
			n += float64(w)
		}
		lengths = append(lengths, n)
	}
	sum := tensor.SegmentSum(x, t.Batch.SeqStart)
	return t.spread(tensor.Div(sum, x.Scope().Floats(sum.DType(), lengths, len(lengths))))
}

// spread gives each row the value of its sequence: x is [S], the result [N].
func (t Tokens) spread(x tensor.Tensor) tensor.Tensor {
	var index []int32
	for i, q := range t.Batch.Host {
		index = append(index, slices.Repeat([]int32{int32(i)}, q.Rows())...)
	}
	rows := tensor.GatherRows(x.Reshape(x.Len(), 1), x.Scope().Ints(index, len(index)))
	return rows.Reshape(len(index))
}

// LossType says how the losses of tokens are averaged. Names and formulas are
// TRL's, with its gradient_accumulation_steps at 1. |o| is the number of tokens
// of a completion, Σ goes over the tokens of one optimizer update, and a rollout
// feeds M = MiniBatches updates per iteration. Tokens masked by
// GRPO.MaskTruncated are in no Σ.
//
// Two things are not TRL's. Completions without a reward are in no count, where
// TRL keeps their divergence. GRPO.SkipZeroStd, which TRL lacks, takes groups
// out of every count but that of LossDrGRPO; GRPO.DynamicSampling takes the groups
// that it drops out of all.
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
	// LossLUSPO is (M/n) Σ_i Σ_t ℓ with n as for LossGRPO: a completion weighs as
	// many times more as it is longer (arXiv 2602.05261).
	LossLUSPO LossType = "luspo"
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
	case LossLUSPO:
		return float64(n.updates) / float64(n.kept)
	case LossDrGRPO:
		return float64(n.updates) / (float64(n.allSamples) * float64(n.maxTokens))
	case LossBNPO:
		return 1 / float64(n.tokens)
	}
	return float64(n.updates) / float64(n.rolloutTokens)
}
