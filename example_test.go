package aha_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/moe"
	"github.com/aha-go/aha/mtp"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// Build the mechanisms of DeepSeek-V3 one by one: latent attention, then a mixture of
// experts, over two packed sequences.
func Example_blocks() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	ps := tensor.NewParams(b, tensor.Init{Seed: 1, Std: 0.02})
	angles, err := attention.NewAngles(b, backend.F32, 128, 8, 1e4, attention.RoPEScaling{})
	if err != nil {
		log.Fatal(err)
	}
	mla := attention.NewMLA(ps, "self_attn", attention.MLAConfig{Hidden: 64, Heads: 4, KVRank: 32, Nope: 16, Rope: 8,
		Value: 16}, angles)
	experts := moe.New(ps, "mlp", moe.Config{Hidden: 64, Intermediate: 32, Experts: 8, TopK: 2, Shared: 1,
		Normalize: true, Bias: true})

	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	x := s.Full(backend.F32, 1, 8, 64)                // 8 tokens of width 64
	rows := attention.Pack(s, []int{5, 3})            // two sequences, no padding
	y := experts.Forward(mla.Forward(x, rows, nil)).Y // [8,64]
	if err := s.Backward(tensor.Mean(tensor.Mul(y, y))); err != nil {
		log.Fatal(err)
	}
	load, err := experts.Gate.Load()
	if err != nil {
		log.Fatal(err)
	}
	total := 0
	for _, n := range load {
		total += n
	}
	fmt.Println(y.Shape(), "with", total, "assignments to", len(load), "experts")
	// Output: [8 64] with 16 assignments to 8 experts
}

// Train a whole model with multi-token prediction by GRPO on a custom reward.
func Example_grpo() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	m, err := model.New(b, model.Tiny(32), 1)
	if err != nil {
		log.Fatal(err)
	}
	d, err := mtp.New(m)
	if err != nil {
		log.Fatal(err)
	}
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 16, MaxLen: 32})
	if err != nil {
		log.Fatal(err)
	}
	short := func(_ context.Context, s reward.Sample) reward.Verdict {
		return reward.Verdict{Value: 1 / float64(1+strings.Count(s.Completion, "7")), Status: reward.Correct}
	}
	g := rl.GRPO{
		Trainer: &train.Trainer{Model: m, Drafter: d, Optimizer: train.AdamW{LR: 1e-3}, Seed: 1},
		Sampler: &rollout.Generator{
			Generator: gen, Decode: func(ids []int32) string { return fmt.Sprint(ids) }, MaxTokens: 8,
		},
		Data: func(step int) ([]rollout.Prompt, error) {
			return []rollout.Prompt{
				{IDs: []int32{2, 3, 4}, Text: "2 3 4"}, {IDs: []int32{5, 6}, Text: "5 6"},
			}, nil
		},
		Reward: &reward.Suite{Funcs: []reward.Func{{Name: "avoid_7", Score: short}}},
		Steps:  2, G: 8,
		FailOnMismatch: true, // rollout and trainer must agree bit for bit
		OnStep: func(m train.Metrics) {
			fmt.Println("step", m.Step, "log-probability difference", m.Values["sampling/sampling_logp_difference/max"])
		},
	}
	if err := g.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// step 1 log-probability difference 0
	// step 2 log-probability difference 0
}
