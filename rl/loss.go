package rl

import (
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// Tokens holds the inputs of the loss for a micro-batch of N packed rows. Only rows that
// predict completion tokens contribute to the loss. In all other rows LogProb, OldLogProb,
// RefLogProb, Advantage, Importance and Weight are 0.
type Tokens struct {
	// LogProb [N] is log π_θ of the sampled token. Every π is a distribution as the rollout
	// samples it: at its temperature, and restricted to the tokens that its top-k and top-p
	// kept during sampling. Gradients treat that set of tokens as constant.
	LogProb tensor.Tensor
	Entropy tensor.Tensor // [N]: entropy of π_θ, in nats
	// OldLogProb [N] is log π_old, recorded during sampling. Under OffPolicy.Correction it
	// is computed by the model before the first update of the step.
	OldLogProb tensor.Tensor
	RefLogProb tensor.Tensor // [N]: log π_ref; absent without a reference model
	Advantage  tensor.Tensor // [N]
	// Importance [N] weighs the surrogate of each token; absent without GRPO.OffPolicy.
	Importance tensor.Tensor
	// Weight [N] is the weight of each token in the loss. It is normalised over the global
	// batch, so the loss is a weighted sum, and splitting a batch into micro-batches does
	// not change it; see LossType.
	Weight tensor.Tensor
	// MeanWeight [N] is 1 over the number of completion tokens of the optimizer update. A sum
	// weighted by it is the mean over these tokens, whatever the LossType.
	MeanWeight tensor.Tensor

	Batch  model.Batch
	Output model.Output
}

// SequenceSum sums x [N] over each completion. x must be 0 in rows that do not predict
// completion tokens. The result [N] holds the sum of a completion in every row of its
// sequence.
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

// spread copies the value of each sequence in x [S] to all rows of the sequence: [N].
func (t Tokens) spread(x tensor.Tensor) tensor.Tensor {
	var index []int32
	for i, q := range t.Batch.Host {
		index = append(index, slices.Repeat([]int32{int32(i)}, q.Rows())...)
	}
	rows := tensor.GatherRows(x.Reshape(x.Len(), 1), x.Scope().Ints(index, len(index)))
	return rows.Reshape(len(index))
}

// LossType selects how the losses ℓ of tokens are averaged. Names and formulas are TRL's,
// with its gradient_accumulation_steps at 1. |o| is the number of tokens of a completion,
// sums are over one optimizer update, and a rollout is split into M = MiniBatches updates
// per iteration. Sums omit the tokens that GRPO.MaskTruncated masks.
//
// There are two differences from TRL. Samples without a reward are excluded from all sums
// and counts, whereas TRL keeps their divergence. Groups that GRPO.SkipZeroStd skips, an
// option that TRL lacks, are excluded except from the count of LossDrGRPO; groups that
// GRPO.DynamicSampling drops are excluded from all counts.
type LossType string

const (
	// LossDAPO is Σℓ / (tokens of the rollout / M): all tokens have the same weight
	// (arXiv 2503.14476; verl's token-mean). It is the default.
	LossDAPO LossType = "dapo"
	// LossGRPO is (M/n) Σ_i (1/|o_i|) Σ_t ℓ, where n counts the completions of the rollout
	// including masked ones. All completions have the same weight, so a token of a long
	// completion has less.
	LossGRPO LossType = "grpo"
	// LossDrGRPO is M·Σℓ / (n·MaxTokens), where n counts the samples of the rollout
	// including masked and skipped ones: the divisor is constant (arXiv 2503.20783).
	LossDrGRPO LossType = "dr_grpo"
	// LossLUSPO is (M/n) Σ_i Σ_t ℓ with n as in LossGRPO: the weight of a completion is
	// proportional to its length (arXiv 2602.05261).
	LossLUSPO LossType = "luspo"
	// LossBNPO is Σℓ / (tokens of the update). It differs from LossDAPO in that tokens have
	// more weight in an update whose completions are short.
	LossBNPO LossType = "bnpo"
)

// normalizer holds the counts from which token weights are computed.
type normalizer struct {
	updates       int // M: number of mini-batches that the rollout is split into
	allSamples    int // number of samples of the rollout
	kept          int // number of samples that have a reward and whose group is not skipped
	rolloutTokens int // number of tokens of the rollout in the loss
	tokens        int // number of tokens of the update in the loss
	maxTokens     int // longest completion allowed
}

// weight returns the weight of each token of a completion with the given length.
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
