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

// lesson is an example of the training of a reward model: the readings stay together.
type lesson []reading

func (l lesson) rows() (n int) {
	for _, r := range l {
		n += r.seq.Rows()
	}
	return n
}

// readings are those of all lessons, one after the other.
func readings(all []lesson) (rs []reading) {
	for _, l := range all {
		rs = append(rs, l...)
	}
	return rs
}

// pupil is a reward model in training: one update of its Trainer is a step.
type pupil struct {
	name       string // of the struct that the caller filled in
	trainer    *train.Trainer
	classifier classifier
}

// teach makes an update on lessons, in micro-batches of whole ones. loss is the share of
// lessons from ≤ i < to in the loss of all, of the head's outputs [k, n] at their rows;
// read takes in the values of these, in the order of the lessons.
func (p pupil) teach(ctx context.Context, all []lesson, loss func(y tensor.Tensor, from, to int) tensor.Tensor,
	read func(y []float64, from, to int)) (train.Metrics, error) {
	began := time.Now()
	t := p.trainer
	tokens := 0
	for _, l := range all {
		tokens += l.rows()
	}
	ends := splitPairs(len(all), t.MaxRows, func(i int) int { return all[i].rows() })
	sequences := len(readings(all))
	m, err := t.Update(ctx, int64(tokens), len(ends), func(s *tensor.Scope, i int) tensor.Tensor {
		from, to := 0, ends[i]
		if i > 0 {
			from = ends[i-1]
		}
		rs := readings(all[from:to])
		b := p.classifier.batch(s, rs, sequences)
		return t.Assemble(s, b, func(out model.Output) tensor.Tensor {
			y := p.classifier.read(out, rs).Keep()
			t.After(func() error {
				values, err := y.Values()
				if err == nil {
					read(values, from, to)
				}
				return err
			})
			return loss(y, from, to)
		})
	})
	if err != nil {
		return m, fmt.Errorf("rl: %w", err)
	}
	m.Time = time.Since(began)
	return m, nil
}

// prepare makes the Trainer record the settings of this run in its checkpoints, and resumes.
func (p pupil) prepare(settings any) error {
	t := p.trainer
	own := t.Settings
	t.Settings = settings
	if _, err := t.Resume(); err != nil {
		t.Settings = own
		return errors.Join(err, t.AcceptSettings())
	}
	return nil
}

// run makes steps until there are as many as asked for.
func (p pupil) run(ctx context.Context, steps int, step func(context.Context) (train.Metrics, error),
	onStep func(train.Metrics)) error {
	t := p.trainer
	if t.StepCount() > steps {
		return fmt.Errorf("rl: %s.Steps is %d, %d are made", p.name, steps, t.StepCount())
	}
	return t.Loop(ctx, train.Loop{
		Name: "rl", Steps: steps, Made: t.StepCount, Step: step, OnStep: onStep,
		Broken: func() bool { return false }, // a step is one update, after which Trainer refuses to save if it broke off
	})
}

// validate refuses what no training of a reward model could mean. Fields are those of the
// struct of that name.
func (p pupil) validate(batch, steps int) error {
	t := p.trainer
	switch {
	case t.Model != p.classifier.model:
		return errors.New("Trainer.Model is not that of Model")
	case t.Drafter != nil:
		return errors.New("Trainer.Drafter is set: a reward model drafts no tokens")
	case !p.classifier.head.Trainable:
		return fmt.Errorf("Model.Head, %s, is not Trainable", p.classifier.head.Name)
	}
	return cmp.Or(count("Batch", batch), count("Steps", steps))
}
