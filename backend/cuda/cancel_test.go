package cuda_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
)

var errStopped = errors.New("stopped by the test")

// countdown is a context that the n-th call of Err cancels with cause
// errStopped.
type countdown struct {
	context.Context
	cancel context.CancelCauseFunc
	n      int
}

func newCountdown(t *testing.T, n int) *countdown {
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return &countdown{ctx, cancel, n}
}

func (c *countdown) Err() error {
	if c.n--; c.n == 0 {
		c.cancel(errStopped)
	}
	return c.Context.Err()
}

// A cancelled context stops training, GRPO and generation on the device within
// one step. The device keeps working, and Close frees all of its memory.
func TestACancelledContextStopsWithinAStep(t *testing.T) {
	seqs := []model.Sequence{{IDs: []int32{3, 1, 4, 1, 5}}, {IDs: []int32{9, 2, 6}}}
	trainer := func(m *model.Model) *train.Trainer {
		return &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-3}, Log: slog.New(slog.DiscardHandler), Steps: 5}
	}
	for name, run := range map[string]func(t *testing.T, m *model.Model) (steps int, err error){
		"training, between micro-batches": func(t *testing.T, m *model.Model) (steps int, err error) {
			tr := trainer(m)
			defer tr.Close()
			tr.MaxRows = 5 // one sequence
			tr.OnStep = func(train.Metrics) { steps++ }
			ctx, cancel := context.WithCancelCause(t.Context())
			micros := 0
			tr.Loss = func(s *tensor.Scope, b model.Batch) tensor.Tensor {
				if micros++; micros == 3 {
					cancel(errStopped)
				}
				return tr.DefaultLoss(s, b)
			}
			err = tr.Run(ctx, train.DataFunc(func(int) ([]model.Sequence, error) { return seqs, nil }))
			if micros != 3 {
				t.Errorf("%d micro-batches, want 3", micros)
			}
			return steps, err
		},
		"GRPO, while rewards are computed": func(t *testing.T, m *model.Model) (steps int, err error) {
			gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 8, MaxLen: 16})
			if err != nil {
				t.Fatal(err)
			}
			defer gen.Close()
			g := newGRPO(m, gen)
			g.Steps = 5
			g.OnStep = func(train.Metrics) { steps++ }
			ctx, cancel := context.WithCancelCause(t.Context())
			score := g.Reward.Funcs[0].Score
			g.Reward.Funcs[0].Score = func(ctx context.Context, s reward.Sample) reward.Verdict {
				if steps == 1 {
					cancel(errStopped)
				}
				return score(ctx, s)
			}
			err = g.Run(ctx)
			return steps, errors.Join(err, g.Close())
		},
		"generation": func(t *testing.T, m *model.Model) (steps int, err error) {
			gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 2, MaxLen: 16})
			if err != nil {
				t.Fatal(err)
			}
			defer gen.Close()
			ctx := newCountdown(t, 2) // checked once per step
			_, err = gen.Generate(ctx, []model.Request{
				{Prompt: []int32{3, 1}, MaxTokens: 9, Stop: []int32{}, Sampling: model.Sampling{Greedy: true}},
			})
			if ctx.n < -1 { // context.Cause checks too
				t.Errorf("checked %d times after the end", -ctx.n)
			}
			return 1, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			held := watch(t)
			before := held()
			b, err := backend.Open("cuda:0")
			if err != nil {
				t.Fatal(err)
			}
			m, _ := newModel(t, b, model.Options{})
			if steps, err := run(t, m); steps != 1 || !errors.Is(err, errStopped) {
				t.Errorf("%d steps and error %v, want one and %v", steps, err, errStopped)
			}
			tr := trainer(m)
			if _, err := tr.Step(t.Context(), seqs); err != nil {
				t.Errorf("a step afterwards: %v", err)
			}
			tr.Close()
			m.Free()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if after := held(); after != before {
				t.Errorf("after Close %+v, before Open %+v", after, before)
			}
		})
	}
}
