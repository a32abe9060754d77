package rl_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// Two of four answers are right; their advantages are positive, those of the others negative.
func ExampleGroupAdvantages() {
	right := reward.Verdict{Value: 1, Status: reward.Correct}
	wrong := reward.Verdict{Value: 0, Status: reward.Wrong}
	a := rl.GroupAdvantages([]reward.Verdict{right, wrong, wrong, right}, 4, rl.ScaleGroup, 0)
	fmt.Printf("%.3f\n", a.Value)
	// Output: [0.866 -0.866 -0.866 0.866]
}

// GRPO on digit completion with a custom loss, REINFORCE, which needs no clipping because
// there is one update for each rollout.
func ExampleGRPO() {
	b := must(backend.Open("cpu"))
	defer b.Close()
	c := digitConfig()
	c.NumHiddenLayers, c.HiddenSize, c.IntermediateSize = 1, 32, 64
	m := must(model.New(b, c, 1))
	gen := must(model.NewGenerator(m, model.GeneratorOptions{MaxLen: 16}))
	defer gen.Close()

	g := rl.GRPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 5e-3}},
		Sampler: &rollout.Generator{Generator: gen, Decode: decode, MaxTokens: 8},
		Data:    digitPrompts(1, 8),
		Reward:  &reward.Suite{Funcs: []reward.Func{{Name: "digits", Score: positionShare}}},
		Steps:   20,
		Alarms:  rl.Thresholds{MaxTruncated: -1}, // all completions have the same length
	}
	g.Loss = func(t rl.Tokens) tensor.Tensor {
		return tensor.Neg(tensor.Sum(tensor.Mul(t.Weight, tensor.Mul(t.Advantage, t.LogProb))))
	}
	g.OnStep = func(m train.Metrics) {
		if m.Step == 1 {
			fmt.Println("importance ratio of the first update:", m.Values[rl.MetricSamplingRatioMax])
		}
		if m.Step == 1 || m.Step == 20 {
			fmt.Println("step", m.Step, "mean reward above 0.1:", m.Values[rl.MetricReward] > 0.1)
		}
	}
	if err := g.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// importance ratio of the first update: 1
	// step 1 mean reward above 0.1: false
	// step 20 mean reward above 0.1: true
}

// must returns v, and exits the program if err is not nil.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
