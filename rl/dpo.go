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
// arXiv 2305.18290): of two completions of a prompt the chosen one is to become likelier
// than the rejected one, compared with a reference model, which is the model as it was.
// Fill in the fields and call Run, or Step, from one goroutine; but for Steps and
// functions they must not change after the first step. Defaults are TRL's.
type DPO struct {
	// Trainer makes the optimizer updates of its Model, one a step. Its MaxRows bounds
	// micro-batches, which hold whole pairs; its balance loss is added where it is set,
	// its Seed keys the order of the pairs. Steps, Loss and OnStep are not used, and
	// a Drafter is refused: its loss would teach the rejected completions.
	Trainer *train.Trainer
	Pairs   []Pair // trained on, in an order of its own in each epoch
	Batch   int    // pairs of a step; 0 means 8. The last step of an epoch has what is left
	Steps   int    // to be made, those before a resume included; required by Run
	Held    []Pair // that Evaluate measures; optional

	// Beta is how strongly the model is held to the reference model, and the scale of
	// the implicit rewards β·log(π_θ/π_ref); 0 means 0.1.
	Beta float64
	Loss PreferenceLoss // "" means PreferenceSigmoid
	// LabelSmoothing is the probability that a pair is labelled the wrong way round,
	// below 0.5; for PreferenceSigmoid and PreferenceRobust.
	LabelSmoothing float64

	// RefSync is the number of steps after which the reference model becomes the
	// current one, as in GRPO; 0 means never. TRL's is 512 where it has one.
	RefSync int
	RefMix  float64 // the part of the current model in the new reference model; 0 means 1
	// Precompute scores all Pairs and Held by the reference model before the first
	// step: then there is no copy of the model, and checkpoints hold these
	// log-probabilities, of 4 bytes a completion token. The bits of the run are the
	// same. Where adapters train there is no copy in any case.
	Precompute bool

	OnStep func(m train.Metrics) // called with the metrics of each step; optional
	// OnPrecompute is told how many pairs Precompute has scored; optional.
	OnPrecompute func(done, total int)

	prepared  bool
	began     []setting
	closed    bool
	restore   func() error // gives the Trainer back the fields that prepare set
	failed    error        // set when a step broke off after its update
	step      int
	reference *reference
	known     [][]float64 // log π_ref of Pairs and Held, chosen before rejected; under Precompute
	dealt     deck
}

// StepCount is the number of steps made, those before a resume included.
func (d *DPO) StepCount() int { return d.step }

// StepsOf is the number of steps that epochs take.
func (d *DPO) StepsOf(epochs int) int { return epochs * stepsOfEpoch(len(d.Pairs), d.batch()) }

func (d *DPO) batch() int { return cmp.Or(d.Batch, 8) }

func (d *DPO) beta() float64 { return cmp.Or(d.Beta, 0.1) }

// Run trains until Steps steps are made. It continues from the newest complete
// checkpoint in Trainer.Dir, and saves at the end. It fails if more than Steps are made
// already. When ctx is cancelled it saves what it has and returns the cause.
func (d *DPO) Run(ctx context.Context) error {
	if d.Steps == 0 {
		return errors.New("rl: DPO.Steps is 0")
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if d.step > d.Steps {
		return fmt.Errorf("rl: DPO.Steps is %d, %d are made", d.Steps, d.step)
	}
	return d.Trainer.Loop(ctx, train.Loop{
		Name: "rl", Steps: d.Steps, Made: d.StepCount, Step: d.Step, OnStep: d.OnStep,
		Broken: func() bool { return d.failed != nil },
	})
}

// Step makes one step, an optimizer update on the next Batch pairs. A step that fails
// after its update is to be made again from a checkpoint: further calls return the same
// error.
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

// learn makes the update on the pairs of the given indices.
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

// Evaluate measures Held under the present model: the metrics of a step after eval_,
// with eval_loss. Set as Trainer.Eval it joins the metrics of the steps:
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
