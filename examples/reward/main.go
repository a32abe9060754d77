// Command reward trains a model by GRPO on a custom reward: a tiny model of DeepSeek-V3's architecture learns to sort
// digits, "31426=" → "12346".
//
//	go run ./examples/reward
//
// First the model is fine-tuned on 3,200 solved problems, after which some of its answers are correct. Then it learns
// only from the reward. After both phases it is evaluated on inputs that are not trained on. For a reward of your own,
// copy the folder and change task.go.
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
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the initial weights, the problems and the sampling")
	flag.IntVar(&o.steps, "steps", 200, "number of GRPO steps")
	flag.BoolVar(&o.shuffle, "shuffle", false, "control experiment: permute the rewards; nothing can be learned")
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

// run trains the model and returns the shares of correct answers to unseen inputs: before is after supervised
// fine-tuning, after is after GRPO.
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

	// Supervised fine-tuning uses 64 solved problems per step.
	solved := &train.Epochs{Sequences: solutions(rng, 3200), Rows: 64 * rows, Seed: o.seed}
	start := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 2e-3}, Schedule: train.WarmUp(20, nil), Seed: o.seed,
		Steps: solved.Steps(1)}
	defer start.Close()
	if err := start.Run(ctx, solved); err != nil {
		return 0, 0, err
	}

	// The sampler generates up to 256 answers at a time, at temperature 1.
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 256, MaxLen: config().MaxPositionEmbeddings})
	if err != nil {
		return 0, 0, err
	}
	defer gen.Close()
	sampler := &rollout.Generator{Generator: gen, Decode: vocabulary.Decode, MaxTokens: digits + 2}
	rewards := &reward.Suite{Funcs: []reward.Func{{Name: "sorted", Score: score}}}
	unseen := rl.Evaluation{Sampler: sampler, Reward: rewards, N: 4, Seed: o.seed}
	if before, err = measure(ctx, w, unseen, "after supervised fine-tuning"); err != nil {
		return 0, 0, err
	}

	// Each step of GRPO samples 8 answers to each of 64 problems and makes two updates.
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
