package rl

import (
	"math/rand/v2"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/rollout"
)

// experience is a sample as the loss needs it.
type experience struct {
	*rollout.Sample
	advantages []float64      // of the completion's tokens
	prompt     int            // tokens of the prompt
	seq        model.Sequence // prompt and completion; only completion tokens have weight
	kept       [][]int32      // tokens that the rollout's policy left at each; nil where it leaves all everywhere
	trained    []float64      // log π of the trained model before the first update; nil without OffPolicy.Correction
	importance []float64      // weights of the tokens' surrogates, from it
	ref        []float64      // log π_ref of the completion; nil without a reference model
	values     []float64      // of the rollout, and returns; nil without a critic
	returns    []float64
	weight     float64 // of each completion token in the loss
}

func newExperience(p rollout.Prompt, s *rollout.Sample, advantages []float64) experience {
	x := experience{Sample: s, advantages: advantages, prompt: len(p.IDs)}
	x.seq.IDs = append(append(make([]int32, 0, len(p.IDs)+len(s.IDs)), p.IDs...), s.IDs...)
	x.seq.Weight = make([]float32, len(x.seq.IDs)-1)
	for i := range s.IDs {
		x.seq.Weight[x.first()+i] = 1
	}
	return x
}

// experience is sample i.
func (r *Rollout) experience(i int) experience {
	s := &r.Samples[i]
	x := newExperience(r.Prompts[s.Prompt], s, r.Advantages.Token[i])
	if r.Values != nil {
		x.values, x.returns = r.Values[i], r.Returns[i]
	}
	return x
}

// first is the row that predicts the first completion token.
func (x experience) first() int { return x.prompt - 1 }

// old is log π_old of the completion's tokens.
func (x experience) old() []float64 {
	if x.trained != nil {
		return x.trained
	}
	return x.LogProbs
}

// miniBatch is what one optimizer update learns from.
type miniBatch struct {
	micro  [][]experience
	global model.Global
}

// split says how a rollout is dealt out to updates.
type split struct {
	parts      int // mini-batches
	rows       int // of a micro-batch; 0 means no bound
	seed       uint64
	loss       LossType
	allSamples int // of the rollout
	kept       int // of them, those with a reward and in a group that is not skipped
	maxTokens  int // longest completion allowed
}

// miniBatches deals xs at random into mini-batches of nearly equal size, none
// empty, and sets the token weights.
func (s split) miniBatches(xs []experience) []miniBatch {
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
		var part []experience
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

func countTokens(xs []experience) int {
	n := 0
	for _, x := range xs {
		n += len(x.IDs)
	}
	return n
}

// microBatches splits xs in order into runs of at most rows packed rows.
func microBatches(xs []experience, rows int) [][]experience {
	var out [][]experience
	for _, run := range model.MicroBatches(sequences(xs), rows) {
		out = append(out, xs[:len(run)])
		xs = xs[len(run):]
	}
	return out
}

func sequences(xs []experience) []model.Sequence {
	seqs := make([]model.Sequence, len(xs))
	for i, x := range xs {
		seqs[i] = x.seq
	}
	return seqs
}

// tokens lays out what the loss reads of a micro-batch: b is the batch of xs, out
// the model's forward of it. LogProb and Entropy stay readable after the backward
// pass.
func tokens(s *tensor.Scope, out model.Output, b model.Batch, xs []experience, temperature float64) Tokens {
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

// logProbs scores the completions of xs under m, without gradients.
func logProbs(m *model.Model, xs []experience, rows int, temperature float64) ([][]float64, error) {
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

// score is the log-probability and the entropy of each row of b, the batch of xs,
// under the distribution that their completions were drawn from.
func score(
	out model.Output, b model.Batch, xs []experience, temperature float64,
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

// keep sets which tokens sampling leaves at each token of xs under m, in
// micro-batches of the given rows.
func keep(m *model.Model, xs []experience, rows int, sampling model.Sampling) error {
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
