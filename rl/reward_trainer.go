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

// example is a training example of a reward model, a solution or a pair. Its readings are in
// the same micro-batch.
type example []reading

func (l example) rows() (n int) {
	for _, r := range l {
		n += r.seq.Rows()
	}
	return n
}

// readings returns the readings of all examples, in order.
func readings(all []example) (rs []reading) {
	for _, l := range all {
		rs = append(rs, l...)
	}
	return rs
}

// rewardTrainer trains a reward model. A step is one update of its Trainer.
type rewardTrainer struct {
	name       string // name of the exported type, for error messages
	trainer    *train.Trainer
	classifier classifier
}

// update makes an update on examples, in micro-batches of whole examples. loss returns the
// contribution of all[from:to] to the loss, given the head's outputs [k, n] for the k rows
// of their readings. read is called with the values of these outputs, in the order of the
// examples.
func (p rewardTrainer) update(ctx context.Context, all []example,
	loss func(y tensor.Tensor, from, to int) tensor.Tensor,
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

// prepare makes the Trainer store the settings of this run in its checkpoints, and resumes.
func (p rewardTrainer) prepare(settings any) error {
	t := p.trainer
	own := t.Settings
	t.Settings = settings
	if _, err := t.Resume(); err != nil {
		t.Settings = own
		return errors.Join(err, t.AcceptSettings())
	}
	return nil
}

// run makes steps until steps are made in total.
func (p rewardTrainer) run(ctx context.Context, steps int, step func(context.Context) (train.Metrics, error),
	onStep func(train.Metrics)) error {
	t := p.trainer
	if t.StepCount() > steps {
		return fmt.Errorf("rl: %s.Steps is %d, but %d steps have been made", p.name, steps, t.StepCount())
	}
	return t.Loop(ctx, train.Loop{
		Name: "rl", Steps: steps, Made: t.StepCount, Step: step, OnStep: onStep,
		Broken: func() bool { return false }, // a step is one update; if it fails, the Trainer itself refuses to save
	})
}

// validate reports the first invalid setting. Errors name the fields of the exported type.
func (p rewardTrainer) validate(batch, steps int) error {
	t := p.trainer
	switch {
	case t.Model != p.classifier.model:
		return errors.New("Trainer.Model is not Model.Model")
	case t.Drafter != nil:
		return errors.New("Trainer.Drafter is set: a reward model drafts no tokens")
	case !p.classifier.head.Trainable:
		return fmt.Errorf("Model.Head, %s, is not Trainable", p.classifier.head.Name)
	}
	return cmp.Or(count("Batch", batch), count("Steps", steps))
}
