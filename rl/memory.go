package rl

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// Memory computes the memory of b that a run needs, before the run begins: that of a GRPO
// with its model, model.Generator and Trainer, and of its first two Steps. build makes them
// on the backend that it is given, which is backend.DryRun of b, as the run makes them on b.
// Memory touches no file and calls no reward function.
//
// Every completion is taken to have MaxTokens tokens and to be learned from, and the
// Generator to be prepared for any number of sequences. Where completions stop early,
// micro-batches may have more rows, up to the limit, and freed blocks of activations of
// other sizes need up to 64 MiB more in each scope.
func Memory(b backend.Backend, build func(backend.Backend) (*GRPO, error)) (backend.Memory, error) {
	d := backend.DryRun(b)
	g, err := build(d)
	if err != nil {
		return backend.Memory{}, err
	}
	if err := g.check(); err != nil {
		return backend.Memory{}, err
	}
	g.Trainer.Dir, g.Trainer.Log = "", slog.New(slog.DiscardHandler)
	sampler, ok := g.Sampler.(*rollout.Generator)
	if !ok {
		return backend.Memory{}, fmt.Errorf("rl: Memory: GRPO.Sampler is %T, want a *rollout.Generator", g.Sampler)
	}
	sampler.Stop = []int32{} // every token is 0, which may be one that stops
	sampler.Decode = func([]int32) string { return "" }
	g.Reward = &reward.Suite{Funcs: []reward.Func{{Name: "none", Score: func(context.Context,
		reward.Sample) reward.Verdict {
		return reward.Verdict{Status: reward.Wrong}
	}}}}
	if g.Critic != nil {
		g.Critic.Warmup = 0
	}
	if g.Critic.own() {
		g.Critic.Trainer.Log = g.Trainer.Log
	}
	g.SkipZeroStd, g.MaskTruncated, g.DynamicSampling = false, false, 0
	g.Process, g.Advantages, g.OnRollout, g.OnAlarm, g.OnStep = nil, nil, nil, func(int, []string) {}, nil
	if err := sampler.Generator.Prepare(); err != nil {
		return backend.Memory{}, err
	}
	for range 2 { // the second one finds what the first has left: gradients, blocks of activations
		if _, err := g.Step(context.Background()); err != nil {
			return backend.Memory{}, err
		}
	}
	return d.Memory(), nil
}
