package rl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model/train"
)

// OutcomeTraining trains an OutcomeModel to score the chosen completion of a pair higher
// than the rejected one. The loss of a pair with the scores c and r is the Bradley–Terry
// loss, as in InstructGPT (arXiv 2203.02155) and TRL's RewardTrainer:
//
//	−log σ(c − r − Margin) + CenterRewards·(c + r)²
//
// The loss of a step is the mean over its pairs. Fill in the fields and call Run or Step,
// from one goroutine. Only Steps and functions may change after the first step.
type OutcomeTraining struct {
	// Trainer makes the optimizer updates, one in each step. It must not be used for another
	// run. Its Model is Model.Model. Its MaxRows limits micro-batches, which hold whole
	// pairs; its balance loss is added if it is set; its Seed decides the order of the pairs.
	// Its Steps, Loss and OnStep are not used. It must not have a Drafter.
	Trainer *train.Trainer
	Model   *OutcomeModel
	Pairs   []Pair // training set, shuffled anew in each epoch
	Batch   int    // number of pairs in a step; 0 means 8. The last step of an epoch may have fewer
	Steps   int    // total number of steps, including those before a resume; required by Run
	Held    []Pair // held-out pairs for Evaluate; optional

	// CenterRewards is the coefficient of a penalty that pulls the mean score towards 0, since
	// the loss of pairs does not determine it: TRL's center_rewards_coefficient (arXiv
	// 2312.09244), where 0.01 is recommended. If 0, scores are not centred.
	CenterRewards float64

	OnStep func(m train.Metrics) // called with the metrics of each step; optional

	prepared bool
	began    []setting
	order    epochOrder
}

// outcomeSettings holds the fields that affect the results of a run.
type outcomeSettings struct {
	Batch  int     `json:"batch"`
	Center float64 `json:"center_rewards_coefficient"`
	Pairs  string  `json:"pairs"` // hashPairs of Pairs
	Own    any     `json:"own"`   // the caller's Trainer.Settings
}

// StepCount returns the number of steps made, including those before a resume.
func (o *OutcomeTraining) StepCount() int { return o.Trainer.StepCount() }

// StepsOf returns the number of steps in the given number of epochs.
func (o *OutcomeTraining) StepsOf(epochs int) int {
	return epochs * stepsOfEpoch(len(o.Pairs), o.batch())
}

func (o *OutcomeTraining) batch() int { return cmp.Or(o.Batch, 8) }

func (o *OutcomeTraining) rewardTrainer() rewardTrainer {
	return rewardTrainer{"OutcomeTraining", o.Trainer, o.Model.classifier()}
}

// Run trains until Steps steps are made. It resumes from the newest complete checkpoint
// in Trainer.Dir, and saves one at the end. It returns an error if more than Steps steps
// have already been made. If ctx is cancelled, it saves a checkpoint and returns the cause.
func (o *OutcomeTraining) Run(ctx context.Context) error {
	if o.Steps == 0 {
		return errors.New("rl: OutcomeTraining.Steps is 0")
	}
	if err := o.prepare(); err != nil {
		return err
	}
	return o.rewardTrainer().run(ctx, o.Steps, o.Step, o.OnStep)
}

// Step makes one optimizer update on the next Batch pairs.
func (o *OutcomeTraining) Step(ctx context.Context) (train.Metrics, error) {
	if err := o.prepare(); err != nil {
		return train.Metrics{}, err
	}
	var pairs []Pair
	for _, i := range o.order.indices(o.Trainer.Seed, o.StepCount(), o.batch(), len(o.Pairs)) {
		pairs = append(pairs, o.Pairs[i])
	}
	var stats outcomeStats
	total := totalWeight(pairs)
	m, err := o.rewardTrainer().update(ctx, outcomeExamples(pairs), func(y tensor.Tensor, from, to int) tensor.Tensor {
		return o.loss(y, pairs[from:to], total)
	}, func(y []float64, from, to int) { stats.add(o, pairs[from:to], y) })
	if err != nil {
		return m, err
	}
	stats.enter(m.Values, "")
	return m, nil
}

// Evaluate returns the metrics of the current model on Held: those of a step with the
// prefix eval_, and eval_loss. Trainer.Eval may call it.
func (o *OutcomeTraining) Evaluate(ctx context.Context) (map[string]float64, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if len(o.Held) == 0 {
		return nil, errors.New("rl: OutcomeTraining.Held is empty: there is nothing to evaluate on")
	}
	c := o.Model.classifier()
	c.rows = o.Trainer.MaxRows
	outputs, err := c.outputs(ctx, readings(outcomeExamples(o.Held)))
	if err != nil {
		return nil, fmt.Errorf("rl: evaluation: %w", err)
	}
	var scores []float64
	for _, v := range outputs {
		scores = append(scores, v...)
	}
	var stats outcomeStats
	stats.add(o, o.Held, scores)
	values := map[string]float64{MetricEval + train.MetricLoss: stats.loss / totalWeight(o.Held)}
	stats.enter(values, MetricEval)
	return values, nil
}

// outcomeExamples returns one example for each pair: readings of the last tokens of its two
// completions, the chosen one first.
func outcomeExamples(pairs []Pair) []example {
	all := make([]example, len(pairs))
	for i, p := range pairs {
		for _, completion := range [][]int32{p.Chosen, p.Rejected} {
			all[i] = append(all[i], newReading(Solution{Prompt: p.Prompt, Completion: completion}, len(completion)-1))
		}
	}
	return all
}

// totalWeight returns the sum of the weights of pairs.
func totalWeight(pairs []Pair) (sum float64) {
	for _, p := range pairs {
		sum += cmp.Or(p.Weight, 1)
	}
	return sum
}

// loss returns the contribution of n pairs with scores [2n, 1] to the loss of a batch, of
// shape [1]. total is the sum of the weights of the batch.
func (o *OutcomeTraining) loss(scores tensor.Tensor, pairs []Pair, total float64) tensor.Tensor {
	s, n, dt := scores.Scope(), len(pairs), scores.DType()
	var sign, margin, weight []float64
	for _, p := range pairs {
		sign = append(sign, 1, -1)
		margin, weight = append(margin, p.Margin), append(weight, cmp.Or(p.Weight, 1)/total)
	}
	both := scores.Reshape(n, 2)
	gap := tensor.Sub(tensor.SumLast(tensor.Mul(both, s.Floats(dt, sign, n, 2))), s.Floats(dt, margin, n))
	loss := tensor.Neg(tensor.LogSigmoid(gap))
	if o.CenterRewards != 0 {
		sum := tensor.SumLast(both)
		loss = tensor.Add(loss, tensor.Scale(tensor.Mul(sum, sum), o.CenterRewards))
	}
	return tensor.Sum(tensor.Mul(s.Floats(dt, weight, n), loss))
}

// outcomeStats accumulates the metrics of pairs, on the host and in the order of the pairs.
type outcomeStats struct {
	n, right       int
	min, max       float64
	sum, gap, loss float64
}

// add adds pairs with their scores, each chosen one before its rejected one.
func (t *outcomeStats) add(o *OutcomeTraining, pairs []Pair, scores []float64) {
	for i, p := range pairs {
		c, r := scores[2*i], scores[2*i+1]
		if t.n == 0 {
			t.min, t.max = c, c
		}
		t.n++
		t.min, t.max = min(t.min, c, r), max(t.max, c, r)
		t.sum += c + r
		t.gap += c - r
		if c > r {
			t.right++
		}
		loss := softplus(p.Margin+r-c) + float64(o.CenterRewards*(c+r)*(c+r))
		t.loss += float64(cmp.Or(p.Weight, 1) * loss)
	}
}

// enter adds the metrics to v, with the given prefix.
func (t *outcomeStats) enter(v map[string]float64, prefix string) {
	n := float64(t.n)
	v[prefix+MetricMinReward], v[prefix+MetricMaxReward] = t.min, t.max
	v[prefix+MetricMeanReward] = t.sum / (2 * n)
	v[prefix+MetricAccuracy] = float64(t.right) / n
	v[prefix+MetricMargin] = t.gap / n
}

// check reports an invalid field, or a field that has changed since the first step.
func (o *OutcomeTraining) check() error {
	switch {
	case o.Trainer == nil || o.Model == nil:
		return errors.New("rl: OutcomeTraining.Trainer or Model is nil")
	case len(o.Pairs) == 0:
		return errors.New("rl: OutcomeTraining.Pairs is empty")
	}
	if err := o.Model.validate(); err != nil {
		return fmt.Errorf("rl: OutcomeTraining.Model.%w", err)
	}
	if err := cmp.Or(
		o.rewardTrainer().validate(o.Batch, o.Steps), number("CenterRewards", o.CenterRewards, 0, math.MaxFloat64),
	); err != nil {
		return fmt.Errorf("rl: OutcomeTraining.%w", err)
	}
	if o.prepared {
		return unchanged(o.began, fixed("OutcomeTraining", o))
	}
	c := o.Trainer.Model.Config
	for _, list := range []struct {
		name  string
		pairs []Pair
	}{{"Pairs", o.Pairs}, {"Held", o.Held}} {
		for i, p := range list.pairs {
			if err := cmp.Or(
				p.validate(c.VocabSize, c.MaxPositionEmbeddings-1), number("Margin", p.Margin, -math.MaxFloat64, math.MaxFloat64),
			); err != nil {
				return fmt.Errorf("rl: OutcomeTraining.%s[%d].%w", list.name, i, err)
			}
		}
	}
	return nil
}

// prepare makes a run ready for its next step. It checks the fields, and resumes from a
// checkpoint the first time.
func (o *OutcomeTraining) prepare() error {
	if err := o.check(); err != nil || o.prepared {
		return err
	}
	s := outcomeSettings{o.batch(), o.CenterRewards, hashPairs(o.Pairs), o.Trainer.Settings}
	if err := o.rewardTrainer().prepare(s); err != nil {
		return err
	}
	o.prepared, o.began = true, fixed("OutcomeTraining", o)
	return nil
}
