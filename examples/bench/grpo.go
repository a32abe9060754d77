package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

func checkGRPO(o options, shape string) error {
	s, err := sizes(shape, 1)
	if err == nil && s[0] < 2 { // a step makes two updates, each of which needs a prompt
		err = fmt.Errorf("%d prompts, want at least 2", s[0])
	}
	if err == nil && o.Batch == 1 {
		err = fmt.Errorf("-batch 1: a group of one completion teaches nothing")
	}
	return err
}

// measureGRPO times the rollout and the training of GRPO steps with the settings
// of examples/r1zero. An untrained model solves no problem, so completions have a
// fixed length and the reward is the share of digits in them: then the rewards of
// each group differ, and every group has a gradient.
func measureGRPO(ctx context.Context, b *bench, t task) error {
	prompts, err := sizes(t.shape, 1)
	if err != nil {
		return err
	}
	scale := lab.Full
	scale.Prompts, scale.Group, scale.MaxTokens = prompts[0], cmp.Or(b.Batch, scale.Group), cmp.Or(b.Context, 64)
	build := func(d backend.Backend) (*rl.GRPO, error) {
		m, err := model.NewWith(d, lab.Teacher(), 1, model.Options{Format: backend.Format(t.format), Precision: b.precision})
		if err != nil {
			return nil, err
		}
		gen, err := lab.NewGenerator(m, scale)
		if err != nil {
			m.Free()
			return nil, err
		}
		return lab.GRPO(&train.Trainer{Model: m, Seed: 1}, gen, scale), nil
	}
	memory, err := rl.Memory(b.b, build)
	if err != nil {
		return err
	}
	if err := b.holds(memory); err != nil {
		return err
	}
	g, err := build(b.b)
	if err != nil {
		return err
	}
	m := g.Trainer.Model
	defer m.Free()
	sampler := g.Sampler.(*rollout.Generator)
	defer sampler.Generator.Close()
	defer g.Trainer.Close()
	defer g.Close()
	sampler.Stop = []int32{}
	g.Reward = &reward.Suite{Funcs: []reward.Func{{Name: "digits", Score: digits}}}
	g.Alarms.MaxTruncated = -1
	var wrote time.Time
	samples, prompt := 0, 0
	g.OnRollout = func(r *rl.Rollout) {
		wrote = time.Now()
		samples, prompt = len(r.Samples), len(r.Prompts[0].IDs)
	}
	work := cost{f32: 1, bf16: 1} // the rates to measure between the rounds
	res, err := b.rounds(ctx, work, func() ([]float64, error) {
		began := time.Now()
		_, err := g.Step(ctx)
		return []float64{wrote.Sub(began).Seconds(), time.Since(wrote).Seconds()}, err
	})
	if err != nil {
		return err
	}
	d := demandOf(m)
	n, length := float64(samples), float64(prompt+scale.MaxTokens)
	again := n - float64(scale.Prompts) // samples that share the prefill of another sample's prompt
	rollout := d.forward(n, length).plus(d.forward(again,
		float64(prompt)).times(-1)).plus(d.head.times(n * float64(scale.MaxTokens)))
	rollout.bytes = 0 // the weights fit in the processor's caches
	for i, part := range []struct {
		name string
		cost cost
	}{{"rollout", rollout}, {"training", d.train(n, length)}} {
		l := t.line(b, memory)
		l.Part = part.name
		if err := b.emit(res.rate(l, i, n*float64(scale.MaxTokens), "tok/s", part.cost)); err != nil {
			return err
		}
	}
	return nil
}

// digits is a reward: the share of digits among a completion's characters.
func digits(_ context.Context, s reward.Sample) reward.Verdict {
	n := 0
	for _, c := range s.Completion {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return reward.Verdict{Value: float64(n) / float64(max(len(s.Completion), 1)), Status: reward.Wrong}
}
