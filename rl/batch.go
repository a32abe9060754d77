package rl

import (
	"math/rand/v2"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/rollout"
)

// trainSample is a sample together with everything that the loss needs. Slices have one
// element for each completion token.
type trainSample struct {
	*rollout.Sample
	advantages []float64
	prompt     int            // number of tokens of the prompt
	seq        model.Sequence // prompt and completion; only completion tokens have weight
	kept       [][]int32      // tokens that top-k and top-p left to sample from; nil if sampling drops none
	trained    []float64      // log π of the trained model before the first update; nil without OffPolicy.Correction
	importance []float64      // importance weights, computed from trained
	ref        []float64      // log π_ref; nil without a reference model
	values     []float64      // the critic's values before the updates; nil without a critic
	returns    []float64      // nil without a critic
	weight     float64        // weight of each completion token in the loss
}

func newTrainSample(p rollout.Prompt, s *rollout.Sample, advantages []float64) trainSample {
	x := trainSample{Sample: s, advantages: advantages, prompt: len(p.IDs)}
	x.seq.IDs = append(append(make([]int32, 0, len(p.IDs)+len(s.IDs)), p.IDs...), s.IDs...)
	x.seq.Weight = make([]float32, len(x.seq.IDs)-1)
	for i := range s.IDs {
		x.seq.Weight[x.first()+i] = 1
	}
	return x
}

// trainSample returns sample i with its advantages and, with a critic, its values and
// returns.
func (r *Rollout) trainSample(i int) trainSample {
	s := &r.Samples[i]
	x := newTrainSample(r.Prompts[s.Prompt], s, r.Advantages.Token[i])
	if r.Values != nil {
		x.values, x.returns = r.Values[i], r.Returns[i]
	}
	return x
}

// first returns the row that predicts the first completion token.
func (x trainSample) first() int { return x.prompt - 1 }

// old returns log π_old of the completion tokens.
func (x trainSample) old() []float64 {
	if x.trained != nil {
		return x.trained
	}
	return x.LogProbs
}

// miniBatch holds the samples of one optimizer update, in micro-batches.
type miniBatch struct {
	micro  [][]trainSample
	global model.Global
}

// split describes how a rollout is split into mini-batches.
type split struct {
	parts      int // number of mini-batches
	rows       int // maximum number of rows of a micro-batch; 0 means no limit
	seed       uint64
	loss       LossType
	allSamples int // number of samples of the rollout
	kept       int // number of samples that have a reward and whose group is not skipped
	maxTokens  int // longest completion allowed
}

// miniBatches splits xs at random into non-empty mini-batches of nearly equal size, and
// sets the token weights.
func (s split) miniBatches(xs []trainSample) []miniBatch {
	m := min(s.parts, len(xs))
	order := make([]int, len(xs))
	for i := range order {
		order[i] = i
	}
	if m > 1 {
		order = rand.New(rand.NewPCG(s.seed, 0)).Perm(len(xs))
	}
	n := normalizer{
		updates: m, allSamples: s.allSamples, kept: s.kept, maxTokens: s.maxTokens, rolloutTokens: countTokens(xs),
	}
	batches := make([]miniBatch, m)
	for u := range batches {
		var part []trainSample
		for _, i := range order[u*len(xs)/m : (u+1)*len(xs)/m] {
			part = append(part, xs[i])
		}
		n.tokens = countTokens(part)
		for i := range part {
			part[i].weight = s.loss.weight(n, len(part[i].IDs))
		}
		global := model.Global{Weight: float64(n.tokens), Sequences: len(part)}
		batches[u] = miniBatch{microBatches(part, s.rows), global}
	}
	return batches
}

func countTokens(xs []trainSample) int {
	n := 0
	for _, x := range xs {
		n += len(x.IDs)
	}
	return n
}

// microBatches splits xs in order into runs of at most the given number of packed rows.
func microBatches(xs []trainSample, rows int) [][]trainSample {
	var out [][]trainSample
	for _, run := range model.MicroBatches(sequences(xs), rows) {
		out = append(out, xs[:len(run)])
		xs = xs[len(run):]
	}
	return out
}

func sequences(xs []trainSample) []model.Sequence {
	seqs := make([]model.Sequence, len(xs))
	for i, x := range xs {
		seqs[i] = x.seq
	}
	return seqs
}

// tokens builds the inputs of the loss for the micro-batch xs: b is its batch, and out
// is the model's output for b. LogProb and Entropy stay readable after the backward
// pass.
func tokens(s *tensor.Scope, out model.Output, b model.Batch, xs []trainSample, temperature float64) Tokens {
	logProb, entropy := score(out, b, xs, temperature)
	var old, ref, advantage, weight []float64
	for _, x := range xs {
		blank := make([]float64, x.first())
		old = append(append(old, blank...), x.old()...)
		advantage = append(append(advantage, blank...), x.advantages...)
		weight = append(weight, blank...)
		for range x.IDs {
			weight = append(weight, x.weight)
		}
		if x.ref != nil {
			ref = append(append(ref, blank...), x.ref...)
		}
	}
	n, dt := len(old), b.Weight.DType()
	t := Tokens{
		LogProb: logProb.Keep(), Entropy: entropy.Keep(),
		OldLogProb: s.Floats(dt, old, n), Advantage: s.Floats(dt, advantage, n), Weight: s.Floats(dt, weight, n),
		MeanWeight: b.Weight, Batch: b, Output: out,
	}
	if ref != nil {
		t.RefLogProb = s.Floats(dt, ref, n)
	}
	return t
}

// logProbs returns the log-probabilities of the completion tokens of xs under m, without
// gradients.
func logProbs(m *model.Model, xs []trainSample, rows int, temperature float64) ([][]float64, error) {
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	var out [][]float64
	for _, micro := range microBatches(xs, rows) {
		s.Reset()
		seqs := sequences(micro)
		b := m.NewBatch(s, seqs, model.Totals(seqs))
		lp, _ := score(m.Forward(s, b), b, micro, temperature)
		values, err := lp.Values()
		if err != nil {
			return nil, err
		}
		for _, x := range micro {
			out = append(out, values[x.first():x.seq.Rows()])
			values = values[x.seq.Rows():]
		}
	}
	return out, nil
}

// score returns the log-probability and the entropy of each row of b, the batch of xs.
// Like the rollout, it leaves out the tokens that top-k and top-p dropped.
func score(
	out model.Output, b model.Batch, xs []trainSample, temperature float64,
) (logProb, entropy tensor.Tensor) {
	if xs[0].kept == nil {
		return out.Score(b.Targets, temperature)
	}
	var kept [][]int32
	for _, x := range xs {
		kept = append(append(kept, make([][]int32, x.first())...), x.kept...)
	}
	return out.ScoreKept(b, temperature, kept)
}

// keep sets the kept field of xs: the tokens that top-k and top-p leave to sample from
// at each completion token under m. It runs m on micro-batches of at most rows rows.
func keep(m *model.Model, xs []trainSample, rows int, sampling model.Sampling) error {
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	for len(xs) > 0 {
		micro := microBatches(xs, rows)[0]
		s.Reset()
		seqs := sequences(micro)
		var at []int32
		base := 0
		for _, x := range micro {
			for i := range x.IDs {
				at = append(at, int32(base+x.first()+i))
			}
			base += x.seq.Rows()
		}
		kept, err := m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs))).Kept(at, sampling)
		if err != nil {
			return err
		}
		for i, x := range micro {
			xs[i].kept, kept = kept[:len(x.IDs)], kept[len(x.IDs):]
		}
		xs = xs[len(micro):]
	}
	return nil
}
