package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// Step makes one optimizer step on a global batch: it sums Loss over micro-batches of at
// most MaxRows rows.
func (t *Trainer) Step(ctx context.Context, seqs []model.Sequence) (Metrics, error) {
	if err := t.start(); err != nil {
		return Metrics{}, err
	}
	if err := t.check(seqs); err != nil {
		return Metrics{}, fmt.Errorf("train: step %d: %w", t.step+1, err)
	}
	loss := t.Loss
	if loss == nil {
		loss = t.DefaultLoss
	}
	var rows int64
	for _, q := range seqs {
		rows += int64(q.Rows())
	}
	totals := model.Totals(seqs)
	micros := model.MicroBatches(seqs, t.MaxRows)
	return t.Update(ctx, rows, len(micros), func(s *tensor.Scope, i int) tensor.Tensor {
		return loss(s, t.Model.NewBatch(s, micros[i], totals))
	})
}

// check returns an error for an invalid batch.
func (t *Trainer) check(seqs []model.Sequence) error {
	vocab := int32(t.Model.Config.VocabSize)
	longest := t.Model.Config.MaxPositionEmbeddings
	for i, q := range seqs {
		switch {
		case len(q.IDs) < 2:
			return fmt.Errorf("sequence %d has %d tokens, want at least 2", i, len(q.IDs))
		case q.Rows() > longest:
			return fmt.Errorf("sequence %d predicts %d tokens, max_position_embeddings is %d", i, q.Rows(), longest)
		case q.Weight != nil && len(q.Weight) != q.Rows():
			return fmt.Errorf("sequence %d has %d weights for %d targets", i, len(q.Weight), q.Rows())
		case (q.Experts == nil) != (seqs[0].Experts == nil):
			return fmt.Errorf("of sequences 0 and %d one has Experts and the other has none", i)
		}
		if q.Experts != nil {
			if err := t.Model.CheckExperts(q.Rows(), q.Experts); err != nil {
				return fmt.Errorf("sequence %d: %w", i, err)
			}
		}
		for j, id := range q.IDs {
			if id < 0 || id >= vocab {
				return fmt.Errorf("sequence %d: token %d is %d, vocab_size is %d", i, j, id, vocab)
			}
		}
	}
	if w := model.Totals(seqs).Weight; !(w > 0) || math.IsInf(w, 0) {
		return fmt.Errorf("the weights of the batch's %d sequences sum to %g", len(seqs), w)
	}
	return nil
}

// Update makes one optimizer step on the sum of the losses, each of shape [1], that build
// returns for the micro-batches 0 to micros−1. tokens is the number of tokens consumed, for
// the schedules and num_tokens. Update runs the backward passes, clips the gradient, and
// updates parameters, selection biases and moving average.
//
// A value of Schedule or BiasRate that is negative or not finite is an error. If ctx is
// cancelled between micro-batches, or anything fails before the optimizer begins, nothing
// has changed. If the optimizer fails, the weights are unusable, and all further calls,
// including Save, return the same error.
func (t *Trainer) Update(ctx context.Context, tokens int64, micros int, build func(s *tensor.Scope,
	micro int) tensor.Tensor) (Metrics, error) {
	began := time.Now()
	m, err := t.update(ctx, tokens, micros, build)
	m.Time = time.Since(began)
	return m, err
}

func (t *Trainer) update(ctx context.Context, tokens int64, micros int, build func(s *tensor.Scope,
	micro int) tensor.Tensor) (Metrics, error) {
	if err := t.start(); err != nil {
		return Metrics{}, err
	}
	if t.failed != nil {
		return Metrics{}, t.failed
	}
	fail := func(err error) (Metrics, error) {
		return Metrics{}, fmt.Errorf("train: step %d: %w", t.step+1, err)
	}
	next, err := t.next()
	if err != nil {
		return fail(err)
	}
	loss, err := t.backward(ctx, micros, build)
	if err != nil {
		return fail(err)
	}
	t.warnIdle()
	norm, bad, err := t.moments.GradNorm()
	if err != nil {
		return fail(err)
	}
	m := Metrics{Step: t.step + 1, Values: map[string]float64{}, Loads: map[string][]int{}}
	loads, err := t.loads(m)
	if err != nil {
		return fail(err)
	}
	at := At{Step: t.step + 1, Factor: next.factor, GradScale: clipScale(norm, t.clipNorm())}
	m.Values[MetricLoss] = loss
	m.Values[MetricGradNorm] = norm
	m.Values[MetricLearningRate] = at.Factor * t.Optimizer.LearningRate()
	m.Values[MetricNumTokens] = float64(t.tokens + tokens)
	for _, o := range t.sums {
		m.Values[o.name] += o.value
	}
	if err := nonFinite(loss, norm, bad); err != nil {
		if !t.SkipNonFinite {
			return fail(err)
		}
		t.Logger().Warn("update skipped", "step", t.step+1, "reason", err)
		m.Values[MetricSkipped] = 1
	} else if err := t.apply(at, loads, next.biasRate); err != nil {
		t.failed = fmt.Errorf("train: step %d failed halfway: %w", t.step+1, err)
		return Metrics{}, t.failed
	}
	t.step++
	t.tokens += tokens
	return m, nil
}

// backward computes the gradients of all micro-batches and returns the loss.
func (t *Trainer) backward(ctx context.Context, micros int, build func(s *tensor.Scope,
	micro int) tensor.Tensor) (float64, error) {
	if micros < 1 {
		return 0, errors.New("no micro-batches")
	}
	if err := t.Model.Params.ZeroGrad(); err != nil {
		return 0, err
	}
	for _, g := range t.gates {
		if err := g.ResetLoad(); err != nil {
			return 0, err
		}
	}
	t.sums = t.sums[:0]
	total := 0.0
	for i := range micros {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		loss, err := t.micro(i, build)
		if err != nil {
			return 0, fmt.Errorf("micro-batch %d of %d: %w", i+1, micros, err)
		}
		total += loss
	}
	return total, nil
}

// micro runs one micro-batch forward and backward.
func (t *Trainer) micro(i int, build func(s *tensor.Scope, micro int) tensor.Tensor) (float64, error) {
	s := t.scope
	defer s.Reset()
	clear(t.after)
	t.after = t.after[:0]
	loss := build(s, i)
	if err := s.Err(); err != nil {
		return 0, err
	}
	if err := s.Backward(loss); err != nil {
		return 0, err
	}
	for _, f := range t.after {
		if err := f(); err != nil {
			return 0, err
		}
	}
	return loss.Item()
}

// apply updates everything that a step changes.
func (t *Trainer) apply(at At, loads [][]int, biasRate float64) error {
	if err := t.moments.Step(at); err != nil {
		return err
	}
	for i, g := range t.gates {
		if err := g.UpdateBias(loads[i], biasRate, t.CenterBias); err != nil {
			return fmt.Errorf("selection bias of layer %d: %w", g.layer, err)
		}
	}
	if t.ema != nil {
		return t.ema.update()
	}
	return nil
}

// warnIdle warns about a Drafter whose parameters got no gradient from the loss. It warns
// only once, since GradNorm then allocates a gradient for every parameter.
func (t *Trainer) warnIdle() {
	if t.Drafter == nil {
		return
	}
	idle := false
	for _, p := range t.Drafter.Params() {
		if p.HasGrad() {
			return
		}
		idle = idle || p.Trainable
	}
	if idle {
		t.Logger().Warn("the loss does not reach Trainer.Drafter: it is not trained, see Assemble", "step", t.step+1)
	}
}

// nonFinite returns an error that names what is not finite in a step.
func nonFinite(loss, norm float64, bad *tensor.Param) error {
	switch {
	case math.IsNaN(loss) || math.IsInf(loss, 0):
		return fmt.Errorf("the loss is %g", loss)
	case bad != nil:
		return fmt.Errorf("the gradient of %s is not finite", bad.Name)
	case math.IsInf(norm, 0):
		return errors.New("the gradient's norm overflows")
	}
	return nil
}
