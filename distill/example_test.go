package distill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/distill"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

const end = 10 // the token after the digits 0 to 9

// shape is a small dense model over the digits.
func shape(layers int) model.Config {
	return model.Config{
		ModelType: model.TypeLlama, VocabSize: 11, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: layers,
		NumAttentionHeads: 2, NumKeyValueHeads: 2, MaxPositionEmbeddings: 8, HiddenAct: "silu",
		RMSNormEps: 1e-6, InitializerRange: 0.02, RoPETheta: 1e4, EOSTokenID: model.TokenIDs{end},
	}
}

// counting is a sequence of four digits that counts up or down from a digit, followed by
// the end token.
func counting(from, by int) model.Sequence {
	ids := []int32{int32(from)}
	for range 3 {
		from = (from + by + 10) % 10
		ids = append(ids, int32(from))
	}
	return model.Sequence{IDs: append(ids, end)}
}

// countsUp is the share of completions that count up, of n completions for every digit.
func countsUp(ctx context.Context, g *model.Generator, n int) float64 {
	c, err := rejection(g, n).Collect(ctx, digits())
	if err != nil {
		log.Fatal(err)
	}
	return float64(len(c.Traces)) / float64(c.Sampled)
}

func digits() []rollout.Prompt {
	var ps []rollout.Prompt
	for d := range 10 {
		ps = append(ps, rollout.Prompt{IDs: []int32{int32(d)}, Answer: decode(counting(d, 1).IDs[1:4])})
	}
	return ps
}

func rejection(g *model.Generator, n int) *distill.Rejection {
	up := func(_ context.Context, s reward.Sample) reward.Verdict {
		if s.Completion == s.Answer {
			return reward.Verdict{Status: reward.Correct, Value: 1}
		}
		return reward.Verdict{Status: reward.Wrong}
	}
	return &distill.Rejection{
		Sampler: &rollout.Generator{Generator: g, Decode: decode, MaxTokens: 5},
		Reward:  &reward.Suite{Funcs: []reward.Func{{Name: "counts up", Score: up}}},
		N:       n, Seed: 1,
	}
}

func decode(ids []int32) string { return fmt.Sprint(ids) }

// The teacher counts up as often as down. One student with half of the teacher's layers is
// trained on those of the teacher's completions that a reward accepts, a second one on the
// teacher's distributions: the first learns the rewarded behaviour, the second imitates the
// teacher.
func Example() {
	ctx := context.Background()
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	fit := func(layers int, data train.Data, steps int, loss func(t *train.Trainer)) (*model.Model, *model.Generator) {
		m, err := model.New(b, shape(layers), 1)
		if err != nil {
			log.Fatal(err)
		}
		t := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, Schedule: train.Cosine(0, steps, 0.1), Steps: steps}
		defer t.Close()
		if loss != nil {
			loss(t)
		}
		if err := t.Run(ctx, data); err != nil {
			log.Fatal(err)
		}
		g, err := model.NewGenerator(m, model.GeneratorOptions{})
		if err != nil {
			log.Fatal(err)
		}
		return m, g
	}
	var both []model.Sequence
	for d := range 10 {
		both = append(both, counting(d, 1), counting(d, -1))
	}
	teacher, writer := fit(2, &train.Epochs{Sequences: both}, 150, nil)
	fmt.Printf("teacher: %.1f count up\n", countsUp(ctx, writer, 50))

	c, err := rejection(writer, 8).Collect(ctx, digits())
	if err != nil {
		log.Fatal(err)
	}
	_, g := fit(1, &train.Epochs{Sequences: c.Sequences()}, 150, nil)
	fmt.Printf("student of its correct traces: %.1f\n", countsUp(ctx, g, 50))

	_, g = fit(1, &train.Epochs{Sequences: both}, 150, func(t *train.Trainer) {
		t.Loss = distill.Logit{Temperature: 2}.TrainerLoss(t, distill.NewTeacher(teacher))
	})
	fmt.Printf("student of its distributions: %.1f\n", countsUp(ctx, g, 50))
	// Output:
	// teacher: 0.5 count up
	// student of its correct traces: 1.0
	// student of its distributions: 0.5
}
