package rl_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// The vocabulary of digit completion: 16 symbols, as in verl's test.
const symbols = "\x00\x01,:0123456789"

const eos = 1

func encode(text string) []int32 {
	ids := make([]int32, len(text))
	for i := range text {
		at := strings.IndexByte(symbols, text[i])
		if at < 0 {
			panic(fmt.Sprintf("no symbol %q", text[i]))
		}
		ids[i] = int32(at)
	}
	return ids
}

func decode(ids []int32) string {
	var text strings.Builder
	for _, id := range ids {
		if int(id) < len(symbols) {
			text.WriteByte(symbols[id])
		} else {
			text.WriteByte('?')
		}
	}
	return text.String()
}

// digitPrompts gives n problems a step, counting in steps of 1 to 3 modulo 10.
func digitPrompts(seed uint64, n int) func(step int) ([]rl.Prompt, error) {
	return func(step int) ([]rl.Prompt, error) {
		rng := rand.New(rand.NewPCG(seed, uint64(step)))
		prompts := make([]rl.Prompt, n)
		for i := range prompts {
			d := reward.Digits{First: rng.IntN(10), Step: 1 + rng.IntN(3), Modulus: 10, Count: 4}
			prompts[i] = rl.Prompt{IDs: encode(d.Prompt()), Text: d.Prompt(), Answer: d, Source: "digits"}
		}
		return prompts, nil
	}
}

// positionShare is the dense reward of digit completion: the share of positions,
// that of the end-of-sequence token included, that are as expected.
func positionShare(_ context.Context, s reward.Sample) reward.Verdict {
	d := s.Answer.(reward.Digits)
	want, got := d.Completion()+"\x01", s.Completion
	if !s.Truncated {
		got += "\x01"
	}
	right := 0
	for i := range min(len(want), len(got)) {
		if got[i] == want[i] {
			right++
		}
	}
	v := reward.Verdict{Value: float64(right) / float64(max(len(want), len(got))), Status: reward.Wrong}
	if got == want {
		v.Status = reward.Correct
	}
	return v
}

func digitConfig() model.Config {
	c := model.Tiny()
	c.VocabSize, c.MaxPositionEmbeddings = 16, 32
	c.NRoutedExperts, c.NSharedExperts, c.NumExpertsPerTok, c.MoEIntermediateSize = 0, 0, 0, 0
	c.FirstKDenseReplace, c.NumNextNPredictLayers = 0, 0
	return c
}

func TestTune(t *testing.T) {
	if os.Getenv("TUNE") == "" {
		t.Skip()
	}
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c := digitConfig()
	m, err := model.New(b, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(m.Params.Len())
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 256, MaxLen: 32})
	if err != nil {
		t.Fatal(err)
	}
	g := rl.GRPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-3}, Seed: 1},
		Sampler: rl.Sampler{Generator: gen, Decode: decode, MaxTokens: 8},
		Data:    digitPrompts(1, 32),
		Reward:  &reward.Suite{Funcs: []reward.Func{{Name: "digits", Score: positionShare}}},
		Steps:   16, FailOnMismatch: true,
		Objective: rl.Objective{EntropyCoef: 0.01}, NumIterations: 2,
		Report: os.Stdout,
	}
	start := time.Now()
	g.OnStep = func(m train.Metrics) {
		v := m.Values
		fmt.Printf("%d %.1fs reward %.3f std %.3f dead %.2f ent %.3f len %.1f trunc %.2f gn %.2f loss %.4f low %.3f high %.3f ratio %.2f-%.2f mism %g\n", m.Step, time.Since(start).Seconds(), v["reward"], v["reward_std"], v["frac_reward_zero_std"], v["entropy"],
			v["completions/mean_length"], v["completions/clipped_ratio"], v["grad_norm"], v["loss"], v["clip_ratio/low_mean"], v["clip_ratio/high_mean"], v["ratio/min"], v["ratio/max"], v["sampling/sampling_logp_difference/max"])
	}
	if err := g.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
}
