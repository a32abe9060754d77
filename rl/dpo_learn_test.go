package rl

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/rollout"
)

// The echo task: after 0 and two different tokens from 2 to 15, repeat these two in order
// and end with 1.

// echoes returns all problems in random order.
func echoes(r *rand.Rand) []rollout.Prompt {
	var all []rollout.Prompt
	for a := int32(2); a < 16; a++ {
		for b := int32(2); b < 16; b++ {
			if a != b {
				all = append(all, rollout.Prompt{IDs: []int32{0, a, b}})
			}
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// echo returns the right answer.
func echo(p rollout.Prompt) []int32 { return []int32{p.IDs[1], p.IDs[2], 1} }

// reversed returns a wrong answer.
func reversed(p rollout.Prompt) []int32 { return []int32{p.IDs[2], p.IDs[1], 1} }

// newEcho returns a model of config tiny with larger weights, which learns faster.
func newEcho(t testing.TB) *model.Model {
	t.Helper()
	c := tiny()
	c.InitializerRange = 0.06
	m, err := model.New(openCPU(t), c, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

// undecided trains m on right and wrong answers alike.
func undecided(t testing.TB, m *model.Model, problems []rollout.Prompt, seed uint64) {
	t.Helper()
	tr := &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: 5e-3}, Steps: 300, Seed: seed, Log: slog.New(slog.DiscardHandler),
		Schedule: train.Linear(150, 300, 0),
	}
	defer tr.Close()
	err := tr.Run(t.Context(), train.DataFunc(func(step int) ([]model.Sequence, error) {
		r := rand.New(rand.NewPCG(seed, uint64(step)))
		seqs := make([]model.Sequence, 48)
		for i := range seqs {
			p := problems[r.IntN(len(problems))]
			answer := echo(p)
			if r.IntN(2) == 0 {
				answer = reversed(p)
			}
			seqs[i] = model.Sequence{IDs: slices.Concat(p.IDs, answer), Weight: []float32{0, 0, 1, 1, 1}}
		}
		return seqs, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// answers samples n answers to each problem and counts the right ones.
func answers(
	t testing.TB, m *model.Model, problems []rollout.Prompt, n int, seed uint64,
) (all []rollout.Sample, right int) {
	t.Helper()
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 64, MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer gen.Close()
	s := &rollout.Generator{Generator: gen, Decode: hexText, MaxTokens: 4, Stop: []int32{1}}
	if all, err = rollout.Complete(t.Context(), s, problems, rollout.Draw{Seed: seed, N: n}); err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		if slices.Equal(x.IDs, echo(problems[x.Prompt])) {
			right++
		}
	}
	return all, right
}

// preferRight pairs each right answer of a problem with a wrong one.
func preferRight(problems []rollout.Prompt, samples []rollout.Sample) (pairs []Pair) {
	sides := make([][2][]rollout.Sample, len(problems))
	for _, s := range samples {
		side := 1
		if slices.Equal(s.IDs, echo(problems[s.Prompt])) {
			side = 0
		}
		sides[s.Prompt][side] = append(sides[s.Prompt][side], s)
	}
	for i, p := range problems {
		for k := range min(len(sides[i][0]), len(sides[i][1])) {
			pairs = append(pairs, Pair{Prompt: p.IDs, Chosen: sides[i][0][k].IDs, Rejected: sides[i][1][k].IDs})
		}
	}
	return pairs
}

// seeds returns the number of seeds in AHA_SEEDS, or 1.
func seeds(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("AHA_SEEDS")
	if text == "" {
		return 1
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The model first answers right about half of the time. DPO on pairs of its own right and
// wrong samples raises the share of right answers to unseen problems by more than 20 points,
// with every loss. AHA_SEEDS sets the number of seeds.
func TestDPORaisesTheShareOfRightAnswers(t *testing.T) {
	for seed := range seeds(t) {
		problems := echoes(rand.New(rand.NewPCG(seed, 0)))
		held, known := problems[:46], problems[46:]
		base := newEcho(t)
		undecided(t, base, known, seed)
		samples, _ := answers(t, base, known, 16, seed)
		pairs := preferRight(known, samples)
		const n = 8
		_, before := answers(t, base, held, n, seed+1000)
		for _, c := range []struct {
			loss PreferenceLoss
			beta float64
		}{{PreferenceSigmoid, 1}, {PreferenceIPO, 0.5}, {PreferenceSigmoidNorm, 5}} {
			m := newEcho(t)
			if err := m.Params.CopyFrom(base.Params); err != nil {
				t.Fatal(err)
			}
			d := &DPO{
				Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-3}, Seed: seed, Log: slog.New(slog.DiscardHandler)},
				Pairs:   pairs, Batch: 32, Loss: c.loss, Beta: c.beta, Steps: 120,
			}
			if err := d.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.Close()
			d.Trainer.Close()
			_, after := answers(t, m, held, n, seed+1000)
			total := float64(len(held) * n)
			was, is := 100*float64(before)/total, 100*float64(after)/total
			t.Logf("seed %d, %s: %d pairs, right answers %.0f%%, before %.0f%%", seed, c.loss, len(pairs), is, was)
			if was < 20 || was > 60 {
				t.Errorf("seed %d: %.0f%% are right before: the test is not conclusive", seed, was)
			}
			if is < was+20 {
				t.Errorf("seed %d, %s: %.0f%% are right, before %.0f%%", seed, c.loss, is, was)
			}
		}
	}
}
