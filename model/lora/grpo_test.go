package lora

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// sevens rewards completions by the share of token 7.
func sevens(_ context.Context, s reward.Sample) reward.Verdict {
	n := strings.Count(s.Completion, "\x07")
	return reward.Verdict{Status: reward.Wrong, Value: float64(n) / float64(len(s.IDs))}
}

func text8(ids []int32) string {
	text := make([]byte, len(ids))
	for i, id := range ids {
		text[i] = byte(id)
	}
	return string(text)
}

// GRPO trains adapters as it trains models: rollouts agree with the Trainer bit for bit,
// and rewards rise.
func TestGRPOTrainsAdapters(t *testing.T) {
	for _, o := range []model.Options{{}, {Format: backend.Q8, Packed: true}} {
		m := loadModel(t, "qwen3", o)
		adapt(t, m)
		gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 16, MaxLen: 16})
		must(t, err)
		defer gen.Close()
		tr := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 0.02}, Seed: 5, Log: slog.New(slog.DiscardHandler)}
		defer tr.Close()
		g := &rl.GRPO{
			Trainer: tr, Sampler: &rollout.Generator{Generator: gen, Decode: text8, MaxTokens: 8}, G: 8, Steps: 12,
			Data: func(step int) ([]rollout.Prompt, error) {
				prompts := make([]rollout.Prompt, 4)
				for i := range prompts {
					prompts[i] = rollout.Prompt{IDs: []int32{0, int32(2 + (step+i)%14)}, Text: "go"}
				}
				return prompts, nil
			},
			Reward:         &reward.Suite{Funcs: []reward.Func{{Name: "sevens", Score: sevens}}},
			FailOnMismatch: true,
		}
		g.Objective.Beta, g.RefSync = 0.001, 3 // the reference is the base model, also with packed weights
		if err := g.Run(t.Context()); !says(err, "GRPO.RefSync is set and the model has adapters") {
			t.Errorf("got %v", err)
		}
		g.RefSync = 0
		var rewards []float64
		g.OnStep = func(x train.Metrics) { rewards = append(rewards, x.Values[rl.MetricReward]) }
		must(t, g.Run(t.Context()))
		must(t, g.Close())
		if n := len(rewards); !(rewards[n-1] > rewards[0]+0.3) {
			t.Errorf("%+v: rewards %.2f", o, rewards)
		}
	}
}
