package model_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB) backend.Backend {
	t.Helper()
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// The log-probabilities of a rollout, computed by cached decoding in a changing batch,
// equal those that the trainer computes in a packed forward with gradients, bit for bit.
func TestRolloutLogProbsEqualTrainers(t *testing.T) {
	const bf16 = backend.BF16
	for _, c := range []struct {
		o           model.Options
		temperature float64
	}{
		{model.Options{}, 1}, {model.Options{Absorbed: true}, 1}, {model.Options{}, 0.7},
		{model.Options{Format: backend.BFloat16}, 1},
		{model.Options{Precision: bf16}, 1}, {model.Options{Precision: bf16, Absorbed: true}, 0.7},
		{model.Options{Precision: bf16, Format: backend.BFloat16}, 1},
		{model.Options{RoundKV: true}, 1}, {model.Options{RoundKV: true, Absorbed: true}, 1},
		{model.Options{Tables: backend.BFloat16}, 0.7}, {model.Options{Format: backend.BFloat16,
			Tables: backend.BFloat16}, 1},
		{model.Options{Precision: bf16, Format: backend.BFloat16, Tables: backend.BFloat16}, 0.7},
	} {
		temperature := c.temperature
		b := open(t)
		cfg := model.Tiny(32)
		cfg.TieWordEmbeddings = c.o.Tables != c.o.Format // test tied and untied embeddings
		m, err := model.NewWith(b, cfg, 1, c.o)
		if err != nil {
			t.Fatal(err)
		}
		g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 5, MaxLen: 64})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		seed := uint64(7)
		t.Log("seed", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		var reqs []model.Request
		for i := range 13 {
			prompt := make([]int32, 1+rng.IntN(9))
			for j := range prompt {
				prompt[j] = rng.Int32N(32)
			}
			reqs = append(reqs, model.Request{Prompt: prompt, MaxTokens: 1 + rng.IntN(30),
				Sampling: model.Sampling{Temperature: temperature}, Seed: uint64(i)})
		}
		outs, err := g.Generate(context.Background(), reqs)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []model.Sequence
		for i, r := range reqs {
			seqs = append(seqs, model.Sequence{IDs: append(append([]int32{}, r.Prompt...), outs[i].Tokens...)})
		}
		for _, recompute := range []bool{false, true} {
			m.Recompute = recompute
			s := tensor.NewScope(b, tensor.Options{Grad: true})
			batch := m.NewBatch(s, seqs, model.Totals(seqs))
			lp, _ := m.Forward(s, batch).Score(batch.Targets, temperature)
			got, err := lp.Values()
			if err != nil {
				t.Fatal(err)
			}
			row := 0
			for i, r := range reqs {
				for j := range seqs[i].Rows() {
					if k := j - (len(r.Prompt) - 1); k >= 0 && got[row] != outs[i].LogProbs[k] {
						t.Fatalf("%+v temperature %v recompute %v: request %d token %d: trainer %v, rollout %v",
							c.o, temperature, recompute, i, k, got[row], outs[i].LogProbs[k])
					}
					row++
				}
			}
			loss := tensor.Neg(tensor.Sum(tensor.Mul(lp, batch.Weight)))
			if err := s.Backward(loss); err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
	}
}
