package rl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

// DPO trains a model on preferences by direct preference optimization (Rafailov et al.,
// arXiv 2305.18290): of two completions of a prompt it makes the chosen one more likely
// than the rejected one, relative to a reference model, the model at the start of training.
// Fill in the fields and call Run or Step, from one goroutine. Only Steps and functions
// may change after the first step. Defaults are TRL's.
type DPO struct {
	// Trainer makes the optimizer updates of its Model, one in each step. Its MaxRows
	// limits micro-batches, which hold whole pairs; its balance loss is added if it is set;
	// its Seed decides the order of the pairs. Its Steps, Loss and OnStep are not used. It
	// must not have a Drafter, whose loss would be trained on rejected completions too.
	Trainer *train.Trainer
	Pairs   []Pair // training set, shuffled anew in each epoch
	Batch   int    // number of pairs in a step; 0 means 8. The last step of an epoch may have fewer
	Steps   int    // total number of steps, including those before a resume; required by Run
	Held    []Pair // held-out pairs for Evaluate; optional

	// Beta weighs the divergence from the reference model, and scales the implicit rewards
	// β·log(π_θ/π_ref); 0 means 0.1.
	Beta float64
	Loss PreferenceLoss // "" means PreferenceSigmoid
	// LabelSmoothing is the assumed probability, below 0.5, that the labels of a pair are
	// swapped. Only PreferenceSigmoid and PreferenceRobust use it.
	LabelSmoothing float64

	// RefSync is the number of steps between updates of the reference model to the
	// current model, as in GRPO; 0 means that it is never updated. TRL's default is 512.
	RefSync int
	RefMix  float64 // weight of the current model in the updated reference model; 0 means 1
	// Precompute computes the reference log-probabilities of all Pairs and Held before the
	// first step. Then no copy of the model is needed, and checkpoints store the
	// log-probabilities, 4 bytes for each completion token. The run gives the same bits
	// with and without. If only adapters are trained, there is no copy in any case.
	Precompute bool

	OnStep func(m train.Metrics) // called with the metrics of each step; optional
	// OnPrecompute is called with the number of pairs that Precompute has scored; optional.
	OnPrecompute func(done, total int)

	prepared  bool
	began     []setting
	closed    bool
	restore   func() error // restores the Trainer's fields that prepare set
	failed    error        // the error of a step that failed after its update
	step      int
	reference *reference
	known     [][]float64 // precomputed log π_ref of Pairs, then Held, chosen before rejected
	order     epochOrder
}

// StepCount returns the number of steps made, including those before a resume.
func (d *DPO) StepCount() int { return d.step }

// StepsOf returns the number of steps in the given number of epochs.
func (d *DPO) StepsOf(epochs int) int { return epochs * stepsOfEpoch(len(d.Pairs), d.batch()) }

func (d *DPO) batch() int { return cmp.Or(d.Batch, 8) }

func (d *DPO) beta() float64 { return cmp.Or(d.Beta, 0.1) }

// Run trains until Steps steps are made. It resumes from the newest complete checkpoint
// in Trainer.Dir, and saves one at the end. It returns an error if more than Steps steps
// have already been made. If ctx is cancelled, it saves a checkpoint and returns the cause.
func (d *DPO) Run(ctx context.Context) error {
	if d.Steps == 0 {
		return errors.New("rl: DPO.Steps is 0")
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if d.step > d.Steps {
		return fmt.Errorf("rl: DPO.Steps is %d, but %d steps have been made", d.Steps, d.step)
	}
	return d.Trainer.Loop(ctx, train.Loop{
		Name: "rl", Steps: d.Steps, Made: d.StepCount, Step: d.Step, OnStep: d.OnStep,
		Broken: func() bool { return d.failed != nil },
	})
}

// Step makes one optimizer update on the next Batch pairs. If it fails after the update,
// later calls return the same error: resume from a checkpoint.
func (d *DPO) Step(ctx context.Context) (train.Metrics, error) {
	if err := d.prepare(ctx); err != nil {
		return train.Metrics{}, err
	}
	if d.failed != nil {
		return train.Metrics{}, d.failed
	}
	began := time.Now()
	m, err := d.learn(ctx, d.next())
	if err != nil {
		return train.Metrics{}, err
	}
	d.step++
	m.Step = d.step
	if d.RefSync > 0 && d.step%d.RefSync == 0 {
		if d.failed = d.reference.sync(d.RefMix); d.failed != nil {
			return train.Metrics{}, d.failed
		}
	}
	m.Time = time.Since(began)
	return m, nil
}

// learn makes one optimizer update on the pairs with the given indices.
func (d *DPO) learn(ctx context.Context, indices []int) (train.Metrics, error) {
	fail := func(err error) (train.Metrics, error) {
		return train.Metrics{}, fmt.Errorf("rl: step %d: %w", d.step+1, err)
	}
	pairs, global, err := d.comparisons(d.Pairs, indices, 0)
	if err != nil {
		return fail(err)
	}
	var stats pairStats
	tokens := int64(0)
	for _, c := range pairs {
		tokens += int64(len(c.chosen.seq.IDs) + len(c.rejected.seq.IDs))
	}
	micros := wholePairs(pairs, d.Trainer.MaxRows)
	m, err := d.Trainer.Update(ctx, tokens, len(micros), func(s *tensor.Scope, i int) tensor.Tensor {
		b := d.Trainer.Model.NewBatch(s, sequences(both(micros[i])), global)
		return d.Trainer.Assemble(s, b, func(out model.Output) tensor.Tensor {
			logProb, entropy := out.Score(b.Targets, 1)
			logProb.Keep()
			entropy.Keep()
			d.Trainer.After(func() error { return stats.read(d, micros[i], logProb, entropy) })
			return d.loss(logProb, b, micros[i])
		})
	})
	if err != nil {
		return fail(err)
	}
	stats.enter(m.Values, "")
	return m, nil
}

// Evaluate returns the metrics of the current model on Held: those of a step with the
// prefix eval_, and eval_loss. Trainer.Eval may call it during a run:
//
//	d.Trainer.Eval = func(ctx context.Context, _ int) (map[string]float64, error) { return d.Evaluate(ctx) }
func (d *DPO) Evaluate(ctx context.Context) (map[string]float64, error) {
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	if len(d.Held) == 0 {
		return nil, errors.New("rl: DPO.Held is empty: there is nothing to evaluate on")
	}
	indices := make([]int, len(d.Held))
	for i := range indices {
		indices[i] = i
	}
	m := d.Trainer.Model
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	var stats pairStats
	for _, run := range d.runs(d.Held, indices) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		pairs, global, err := d.comparisons(d.Held, run, len(d.Pairs))
		if err != nil {
			return nil, fmt.Errorf("rl: evaluation: %w", err)
		}
		b := m.NewBatch(s, sequences(both(pairs)), global)
		logProb, entropy := m.Forward(s, b).Score(b.Targets, 1)
		if err := stats.read(d, pairs, logProb, entropy); err != nil {
			return nil, fmt.Errorf("rl: evaluation: %w", err)
		}
		s.Reset()
	}
	values := map[string]float64{MetricEval + train.MetricLoss: stats.loss / stats.weight}
	stats.enter(values, MetricEval)
	return values, nil
}
