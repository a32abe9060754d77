package rl_test

import (
	"context"
	"fmt"
	"log"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// PPO on digit completion, with one completion of each prompt. The critic begins with the
// policy's weights; in the first two steps only the critic is updated.
func ExampleCritic() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	c := digitConfig()
	c.NumHiddenLayers, c.HiddenSize, c.IntermediateSize = 1, 32, 64
	policy, err := model.New(b, c, 1)
	if err != nil {
		log.Fatal(err)
	}
	gen, err := model.NewGenerator(policy, model.GeneratorOptions{MaxLen: 16})
	if err != nil {
		log.Fatal(err)
	}
	defer gen.Close()

	c.TieWordEmbeddings = true // no vocabulary head
	network, err := model.New(b, c, 1)
	if err != nil {
		log.Fatal(err)
	}
	if err := network.Params.CopyFrom(policy.Params); err != nil {
		log.Fatal(err)
	}
	head, err := rl.NewValueHead(network)
	if err != nil {
		log.Fatal(err)
	}

	g := rl.GRPO{
		Trainer: &train.Trainer{Model: policy, Optimizer: train.AdamW{LR: 5e-3}},
		Sampler: &rollout.Generator{Generator: gen, Decode: decode, MaxTokens: 8},
		Data:    digitPrompts(1, 64),
		Reward:  &reward.Suite{Funcs: []reward.Func{{Name: "digits", Score: positionShare}}},
		Critic: &rl.Critic{
			Head: head, Trainer: &train.Trainer{Model: network, Optimizer: train.AdamW{LR: 5e-3}}, Warmup: 2,
		},
		G: 1, Steps: 22,
		Alarms: rl.Thresholds{MaxTruncated: -1}, // all completions have the same length
	}
	g.OnStep = func(m train.Metrics) {
		switch m.Step {
		case 1:
			_, updated := m.Values[rl.MetricPolicyLoss]
			fmt.Println("step 1 updates the policy:", updated)
			fmt.Println("step 1 mean reward above 0.1:", m.Values[rl.MetricReward] > 0.1)
		case 22:
			fmt.Println("step 22 mean reward above 0.1:", m.Values[rl.MetricReward] > 0.1)
			off := m.Values[rl.MetricValueMean] - m.Values[rl.MetricReward]
			fmt.Println("mean value within 0.1 of the mean reward:", math.Abs(off) < 0.1)
		}
	}
	if err := g.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// step 1 updates the policy: false
	// step 1 mean reward above 0.1: false
	// step 22 mean reward above 0.1: true
	// mean value within 0.1 of the mean reward: true
}
