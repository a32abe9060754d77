package rl

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model/train"
)

// ProcessTraining trains a ProcessModel on solutions with labelled steps. The loss is the
// cross-entropy of right and wrong at the last token of each step, averaged over the steps
// of a batch (arXiv 2211.14275, 2305.20050; TRL's PRMTrainer). Fill in the fields and call
// Run or Step, from one goroutine. Only Steps and functions may change after the first step.
type ProcessTraining struct {
	// Trainer makes the optimizer updates, one in each step. It must not be used for another
	// run. Its Model is Model.Model. Its MaxRows limits micro-batches; its balance loss is
	// added if it is set; its Seed decides the order of the solutions. Its Steps, Loss and
	// OnStep are not used. It must not have a Drafter.
	Trainer   *train.Trainer
	Model     *ProcessModel
	Solutions []Solution // training set, shuffled anew in each epoch
	Batch     int        // number of solutions in a step; 0 means 8. The last step of an epoch may have fewer
	Steps     int        // total number of optimizer steps, including those before a resume; required by Run
	Held      []Solution // held-out solutions for Evaluate; optional

	OnStep func(m train.Metrics) // called with the metrics of each step; optional

	prepared bool
	began    []setting
	order    epochOrder
}

// processSettings holds the fields that affect the results of a run.
type processSettings struct {
	Batch     int    `json:"batch"`
	Solutions string `json:"solutions"` // hashSolutions of Solutions
	Own       any    `json:"own"`       // the caller's Trainer.Settings
}

// StepCount returns the number of steps made, including those before a resume.
func (p *ProcessTraining) StepCount() int { return p.Trainer.StepCount() }

// StepsOf returns the number of steps in the given number of epochs.
func (p *ProcessTraining) StepsOf(epochs int) int {
	return epochs * stepsOfEpoch(len(p.Solutions), p.batch())
}

func (p *ProcessTraining) batch() int { return cmp.Or(p.Batch, 8) }

func (p *ProcessTraining) rewardTrainer() rewardTrainer {
	return rewardTrainer{"ProcessTraining", p.Trainer, p.Model.classifier()}
}

// Run trains until Steps steps are made. It resumes from the newest complete checkpoint
// in Trainer.Dir, and saves one at the end. It returns an error if more than Steps steps
// have already been made. If ctx is cancelled, it saves a checkpoint and returns the cause.
func (p *ProcessTraining) Run(ctx context.Context) error {
	if p.Steps == 0 {
		return errors.New("rl: ProcessTraining.Steps is 0")
	}
	if err := p.prepare(); err != nil {
		return err
	}
	return p.rewardTrainer().run(ctx, p.Steps, p.Step, p.OnStep)
}

// Step makes one optimizer update on the next Batch solutions.
func (p *ProcessTraining) Step(ctx context.Context) (train.Metrics, error) {
	if err := p.prepare(); err != nil {
		return train.Metrics{}, err
	}
	var all []Solution
	for _, i := range p.order.indices(p.Trainer.Seed, p.StepCount(), p.batch(), len(p.Solutions)) {
		all = append(all, p.Solutions[i])
	}
	labels := len(stepTargets(all))
	var stats stepStats
	m, err := p.rewardTrainer().update(ctx, processExamples(all), func(y tensor.Tensor, from, to int) tensor.Tensor {
		return stepLoss(y, stepTargets(all[from:to]), labels)
	}, func(y []float64, from, to int) { stats.add(stepTargets(all[from:to]), y) })
	if err != nil {
		return m, err
	}
	m.Values[MetricAccuracy] = float64(stats.right) / float64(labels)
	return m, nil
}

// Evaluate returns eval_loss and eval_accuracy of the current model on Held. Trainer.Eval
// may call it.
func (p *ProcessTraining) Evaluate(ctx context.Context) (map[string]float64, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if len(p.Held) == 0 {
		return nil, errors.New("rl: ProcessTraining.Held is empty: there is nothing to evaluate on")
	}
	c := p.Model.classifier()
	c.rows = p.Trainer.MaxRows
	outputs, err := c.outputs(ctx, readings(processExamples(p.Held)))
	if err != nil {
		return nil, fmt.Errorf("rl: evaluation: %w", err)
	}
	var stats stepStats
	for i, y := range outputs {
		stats.add(stepTargets(p.Held[i:i+1]), y)
	}
	n := float64(len(stepTargets(p.Held)))
	return map[string]float64{
		MetricEval + train.MetricLoss: stats.loss / n, MetricEval + MetricAccuracy: float64(stats.right) / n,
	}, nil
}

// processExamples returns one example for each solution: a reading of the last tokens of its
// labelled steps.
func processExamples(all []Solution) []example {
	examples := make([]example, len(all))
	for i, x := range all {
		var ends []int
		for _, s := range x.Steps {
			ends = append(ends, s.Token)
		}
		examples[i] = example{newReading(x, ends...)}
	}
	return examples
}

// stepTargets returns the classes of all labelled steps: 1 for right, 0 for wrong.
func stepTargets(all []Solution) (targets []int32) {
	for _, x := range all {
		for _, s := range x.Steps {
			class := int32(0)
			if s.Right {
				class = 1
			}
			targets = append(targets, class)
		}
	}
	return targets
}

// stepLoss returns the contribution of k steps with logits [k, 2] to the mean over total
// steps, of shape [1].
func stepLoss(logits tensor.Tensor, targets []int32, total int) tensor.Tensor {
	l := tensor.CrossEntropy(logits, logits.Scope().Ints(targets, len(targets)), tensor.CrossEntropyOptions{})
	return tensor.Scale(tensor.Sum(l), 1/float64(total))
}

// stepStats accumulates the metrics of steps, on the host and in the order of the steps.
type stepStats struct {
	right int     // number of steps classified correctly
	loss  float64 // sum over steps
}

// add adds steps with the given classes and logits, two logits for each step.
func (t *stepStats) add(targets []int32, logits []float64) {
	for i, class := range targets {
		gap := logits[2*i+1] - logits[2*i]
		if class == 0 {
			gap = -gap
		}
		if gap > 0 {
			t.right++
		}
		t.loss += softplus(-gap)
	}
}

// check reports an invalid field, or a field that has changed since the first step.
func (p *ProcessTraining) check() error {
	switch {
	case p.Trainer == nil || p.Model == nil:
		return errors.New("rl: ProcessTraining.Trainer or Model is nil")
	case len(p.Solutions) == 0:
		return errors.New("rl: ProcessTraining.Solutions is empty")
	}
	if err := p.Model.validate(); err != nil {
		return fmt.Errorf("rl: ProcessTraining.Model.%w", err)
	}
	if err := p.rewardTrainer().validate(p.Batch, p.Steps); err != nil {
		return fmt.Errorf("rl: ProcessTraining.%w", err)
	}
	if p.prepared {
		return unchanged(p.began, fixed("ProcessTraining", p))
	}
	for _, list := range []struct {
		name string
		all  []Solution
	}{{"Solutions", p.Solutions}, {"Held", p.Held}} {
		for i, x := range list.all {
			if err := cmp.Or(p.Model.classifier().check(x), x.validateSteps()); err != nil {
				return fmt.Errorf("rl: ProcessTraining.%s[%d]: %w", list.name, i, err)
			}
		}
	}
	return nil
}

// validateSteps reports missing labels, and labels whose tokens are not in the completion or
// not in ascending order.
func (x Solution) validateSteps() error {
	if len(x.Steps) == 0 {
		return errors.New("Steps is empty: there are no labels")
	}
	before := -1
	for i, s := range x.Steps {
		if s.Token <= before || s.Token >= len(x.Completion) {
			return fmt.Errorf("Steps[%d].Token is %d: want one after %d, of the %d of Completion", i, s.Token, before,
				len(x.Completion))
		}
		before = s.Token
	}
	return nil
}

// prepare makes a run ready for its next step. It checks the fields, and resumes from a
// checkpoint the first time.
func (p *ProcessTraining) prepare() error {
	if err := p.check(); err != nil || p.prepared {
		return err
	}
	s := processSettings{p.batch(), hashSolutions(p.Solutions), p.Trainer.Settings}
	if err := p.rewardTrainer().prepare(s); err != nil {
		return err
	}
	p.prepared, p.began = true, fixed("ProcessTraining", p)
	return nil
}

// hashSolutions returns the SHA-256 of solutions with their labels, in hexadecimal.
func hashSolutions(all []Solution) string {
	h := sha256.New()
	var buf []byte
	for _, x := range all {
		buf = appendIDs(appendIDs(buf[:0], x.Prompt), x.Completion)
		buf = binary.LittleEndian.AppendUint64(buf, uint64(len(x.Steps)))
		for i, class := range stepTargets([]Solution{x}) {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(x.Steps[i].Token))
			buf = append(buf, byte(class))
		}
		h.Write(buf)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
