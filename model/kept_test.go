package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// filters are sampling settings that drop part of the vocabulary.
var filters = []model.Sampling{
	{Temperature: 0.6, TopP: 0.95}, {TopK: 5}, {Temperature: 1.2, TopK: 7, TopP: 0.6}, {TopP: 0.3}, {TopK: 1},
}

// scoreKept scores completions of reqs by m as in training, for each request from its first
// new token on.
func scoreKept(t testing.TB, m *model.Model, s *tensor.Scope, reqs []model.Request, outs []model.Completion,
	sampling model.Sampling) (lp, entropy tensor.Tensor, values [][]float64) {
	t.Helper()
	var seqs []model.Sequence
	var at []int32
	n := 0
	for i, r := range reqs {
		q := model.Sequence{IDs: append(append([]int32{}, r.Prompt...), outs[i].Tokens...)}
		q.Weight = make([]float32, q.Rows())
		for j := len(r.Prompt) - 1; j < q.Rows(); j++ {
			q.Weight[j] = 1
			at = append(at, int32(n+j))
		}
		n += q.Rows()
		seqs = append(seqs, q)
	}
	batch := m.NewBatch(s, seqs, model.Totals(seqs))
	out := m.Forward(s, batch)
	some, err := out.Kept(at, sampling)
	must(t, err)
	kept := make([][]int32, n)
	for i, row := range at {
		kept[row] = some[i]
	}
	lp, entropy = out.ScoreKept(batch, sampling.Temperature, kept)
	all, err := lp.Values()
	must(t, err)
	for i, r := range reqs {
		values = append(values, all[len(r.Prompt)-1:seqs[i].Rows()])
		if slices.ContainsFunc(all[:len(r.Prompt)-1], func(v float64) bool { return v != 0 }) {
			t.Errorf("targets without weight are scored: %v", all[:len(r.Prompt)-1])
		}
		all = all[seqs[i].Rows():]
	}
	return lp, entropy, values
}

// Under top-k and top-p, training gives a completion the log-probabilities of the generator
// that drew it, bit for bit.
func TestKeptScoresAreThoseOfTheSampler(t *testing.T) {
	const seed, bf16 = 17, backend.BF16
	t.Log("seed", seed)
	for _, c := range []struct {
		o     model.Options
		vocab int
	}{
		{model.Options{}, 64}, {model.Options{Absorbed: true}, 64}, {model.Options{Precision: bf16}, 64},
		{model.Options{Precision: bf16, Absorbed: true}, 64}, {model.Options{RoundKV: true}, 64},
		{model.Options{Format: backend.BFloat16, Tables: backend.BFloat16}, 64}, {model.Options{DType: backend.F64}, 64},
		{model.Options{}, backend.VocabChunk + 90}, {model.Options{Precision: bf16}, backend.VocabChunk + 90},
	} {
		b := open(t)
		cfg := model.Tiny(32)
		cfg.VocabSize, cfg.NumNextNPredictLayers = c.vocab, 0
		m, err := model.NewWith(b, cfg, 1, c.o)
		must(t, err)
		g := newGenerator(t, m, model.GeneratorOptions{Slots: 5, MaxLen: 32})
		for _, sampling := range filters[:min(len(filters), 320/c.vocab+1)] {
			rng := rand.New(rand.NewPCG(seed, 0))
			var reqs []model.Request
			for i := range 6 {
				reqs = append(reqs, model.Request{Prompt: randomTokens(rng, 1+rng.IntN(5)), MaxTokens: 8,
					Sampling: sampling, Seed: uint64(i), Stop: []int32{}})
			}
			outs, err := g.Generate(context.Background(), reqs)
			must(t, err)
			for _, recompute := range []bool{false, true} {
				m.Recompute = recompute
				s := tensor.NewScope(b, tensor.Options{Grad: true})
				lp, entropy, got := scoreKept(t, m, s, reqs, outs, sampling)
				for i := range reqs {
					if !slices.Equal(got[i], outs[i].LogProbs) {
						t.Errorf("%+v %+v recompute %t: request %d: trainer %v, rollout %v", c.o, sampling, recompute, i,
							got[i], outs[i].LogProbs)
					}
				}
				must(t, s.Backward(tensor.Sum(tensor.Add(lp, entropy))))
				finiteGradients(t, m)
				s.Close()
			}
		}
	}
}

func finiteGradients(t testing.TB, m *model.Model) {
	t.Helper()
	for _, p := range m.Params.All() {
		if !p.HasGrad() {
			continue
		}
		g, err := p.Grad()
		must(t, err)
		x, err := backend.Values(p.Backend(), g)
		must(t, err)
		if i := slices.IndexFunc(x, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }); i >= 0 {
			t.Fatalf("gradient %d of %s is %g", i, p.Name, x[i])
		}
	}
}

// The tokens kept, their scores and the gradients are those of transformers' logits warpers
// and torch, see testdata/kept.py.
func TestKeptScoresAreThoseOfTransformers(t *testing.T) {
	text, err := os.ReadFile("testdata/kept.json")
	must(t, err)
	var f struct {
		Rows, Vocab  int
		Logits, A, B []float64
		Cases        []struct {
			Temperature float64
			TopK        int     `json:"top_k"`
			TopP        float64 `json:"top_p"`
			Kept        [][]int32
			Target      []int32
			LogProb     []float64 `json:"log_prob"`
			Entropy     []float64
			Grad        []float64
		}
	}
	must(t, json.Unmarshal(text, &f))
	cfg := model.Tiny(32)
	cfg.VocabSize, cfg.HiddenSize, cfg.NumNextNPredictLayers, cfg.TieWordEmbeddings = f.Vocab, f.Vocab, 0, false
	m, err := model.NewWith(open(t), cfg, 1, model.Options{DType: backend.F64})
	must(t, err)
	identity := make([]float64, f.Vocab*f.Vocab)
	for i := range f.Vocab {
		identity[i*f.Vocab+i] = 1
	}
	must(t, m.Head.SetFloats(identity))
	x := tensor.NewParams(m.Backend(), tensor.Init{Seed: 1, Std: 1, DType: backend.F64}).Matrix("x", f.Rows, f.Vocab)
	must(t, x.SetFloats(f.Logits))
	for _, c := range f.Cases {
		name := fmt.Sprintf("temperature %g, top-k %d, top-p %g", c.Temperature, c.TopK, c.TopP)
		s := tensor.NewScope(m.Backend(), tensor.Options{Grad: true})
		// Row i has target i and the logits of row i of x; the token that it reads does not
		// matter.
		ids := append([]int32{0}, c.Target...)
		batch := model.Batch{Host: []model.Sequence{{IDs: ids}}}
		out := m.Forward(s, m.NewBatch(s, batch.Host, model.Totals(batch.Host)))
		must(t, x.ZeroGrad())
		out.Hidden = x.In(s)
		sampling := model.Sampling{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP}
		kept, err := out.Kept([]int32{0, 1, 2, 3, 4, 5}, sampling)
		must(t, err)
		for i := range kept {
			if !slices.Equal(kept[i], c.Kept[i]) {
				t.Errorf("%s: row %d keeps %v, want %v", name, i, kept[i], c.Kept[i])
			}
		}
		lp, entropy := out.ScoreKept(batch, c.Temperature, kept)
		got, err := lp.Values()
		must(t, err)
		h, err := entropy.Values()
		must(t, err)
		loss := tensor.Add(tensor.Mul(lp, s.Floats(backend.F64, f.A, f.Rows)),
			tensor.Mul(entropy, s.Floats(backend.F64, f.B, f.Rows)))
		must(t, s.Backward(tensor.Sum(loss)))
		g, err := x.Grad()
		must(t, err)
		grad, err := backend.Values(m.Backend(), g)
		must(t, err)
		closeTo(t, name+": log-probabilities", got, c.LogProb)
		closeTo(t, name+": entropies", h, c.Entropy)
		closeTo(t, name+": gradients", grad, c.Grad)
		s.Close()
	}
}

func closeTo(t testing.TB, name string, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-12*(1+math.Abs(want[i]))) {
			t.Errorf("%s: element %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

func TestTargetsThatAreNotKeptAreNamed(t *testing.T) {
	m, _ := newSmall(t, open(t), model.Options{})
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: []int32{1, 2, 3}}}
	batch := m.NewBatch(s, seqs, model.Totals(seqs))
	out := m.Forward(s, batch)
	out.ScoreKept(batch, 1, [][]int32{nil, {4, 5}})
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "row 1: token 3 is not among the 2 kept") {
		t.Errorf("error %v", err)
	}
}
