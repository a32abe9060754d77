// Command reward trains a model by GRPO on a reward of one's own: a tiny model of DeepSeek-V3's architecture learns
// to sort digits, "31426=" → "12346".
//
//	go run ./examples/reward
//
// A short supervised start shows the model 3,200 solved problems, after which it is right now and then. From there it
// learns from the reward alone. Both are measured on inputs that it never saw. For a reward of your own, copy the
// folder and change task.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

func main() {
	o := options{}
	flag.Uint64Var(&o.seed, "seed", 1, "of weights, problems and answers")
	flag.IntVar(&o.steps, "steps", 200, "of GRPO")
	flag.BoolVar(&o.shuffle, "shuffle", false, "gives each answer the reward of another: the control that must not learn")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	if _, _, err := run(context.Background(), os.Stdout, o); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	seed    uint64
	steps   int
	shuffle bool
}

// run returns the share of right answers to unseen inputs after the supervised start and after GRPO.
func run(ctx context.Context, w io.Writer, o options) (before, after float64, err error) {
	if o.steps < 1 {
		return 0, 0, fmt.Errorf("-steps %d, want a positive number", o.steps)
	}
	b, err := backend.Open("cpu")
	if err != nil {
		return 0, 0, err
	}
	defer b.Close()
	m, err := model.New(b, config(), o.seed)
	if err != nil {
		return 0, 0, err
	}
	rng := rand.New(rand.NewPCG(o.seed, 0))

	// The supervised start: 64 solved problems a step.
	solved := &train.Epochs{Sequences: solutions(rng, 3200), Rows: 64 * rows, Seed: o.seed}
	start := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 2e-3}, Schedule: train.WarmUp(20, nil), Seed: o.seed,
		Steps: solved.Steps(1)}
	defer start.Close()
	if err := start.Run(ctx, solved); err != nil {
		return 0, 0, err
	}

	// The model answers what it is asked, 256 answers at a time, each token drawn at temperature 1.
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 256, MaxLen: config().MaxPositionEmbeddings})
	if err != nil {
		return 0, 0, err
	}
	defer gen.Close()
	sampler := &rollout.Generator{Generator: gen, Decode: vocabulary.Decode, MaxTokens: digits + 2}
	rewards := &reward.Suite{Funcs: []reward.Func{{Name: "sorted", Score: score}}}
	unseen := rl.Evaluation{Sampler: sampler, Reward: rewards, N: 4, Seed: o.seed}
	if before, err = measure(ctx, w, unseen, "after the supervised start"); err != nil {
		return 0, 0, err
	}

	// GRPO: 64 problems a step, 8 answers to each, from which two updates learn.
	const updates = 2
	g := &rl.GRPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 5e-4}, Seed: o.seed,
			Schedule: train.Linear(0, o.steps*updates, 0.1)},
		Sampler: sampler, Reward: rewards, Steps: o.steps, G: 8, MiniBatches: updates, Shuffle: o.shuffle,
		Data: func(step int) ([]rollout.Prompt, error) {
			return prompts(rand.New(rand.NewPCG(o.seed, uint64(1+step))), 64, false), nil
		},
	}
	defer g.Trainer.Close()
	g.OnStep = func(m train.Metrics) {
		if m.Step%20 == 0 {
			fmt.Fprintf(w, "step %d: mean reward %.3f\n", m.Step, m.Values[rl.MetricReward])
		}
	}
	if err := g.Run(ctx); err != nil {
		return 0, 0, err
	}
	after, err = measure(ctx, w, unseen, "after GRPO")
	return before, after, err
}
