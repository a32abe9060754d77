package mtp_test

import (
	"cmp"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

// balance is α·Σ_i f_i·P_i of one sequence (DeepSeek-V3 eq. 17–20), computed from its
// affinities [T][E].
func balance(scores [][]float64, k int, alpha float64) float64 {
	t, experts := float64(len(scores)), len(scores[0])
	f, p := make([]float64, experts), make([]float64, experts)
	for _, s := range scores {
		order := make([]int, experts)
		sum := 0.0
		for i := range order {
			order[i] = i
			sum += s[i]
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s[b], s[a]) })
		for _, i := range order[:k] {
			f[i] += float64(experts) / (float64(k) * t)
		}
		for i := range p {
			p[i] += s[i] / sum / t
		}
	}
	loss := 0.0
	for i := range f {
		loss += alpha * f[i] * p[i]
	}
	return loss
}

// The balance loss of the modules is eq. 17–20 over the T−k rows that a sequence of T rows
// has at depth k, averaged over the sequences of the global batch; sequences without rows
// add nothing.
func TestBalanceLossOfTheModulesIsThatOfTheirRows(t *testing.T) {
	m, d := newModel(t, backend.F64)
	const seed, alpha = 12, 0.7
	t.Log("seed", seed)
	seqs := sequences(seed, 9, 2, 3, 14, 4)
	g := model.Totals(seqs)
	want := 0.0
	for _, q := range seqs {
		s := tensor.NewScope(m.Backend(), tensor.Options{})
		h := m.Forward(s, m.NewBatch(s, []model.Sequence{q}, g)).Residual
		for k, mod := range d.Modules {
			rows := len(q.IDs) - 2 - k
			if rows < 1 {
				break
			}
			one := m.NewBatch(s, []model.Sequence{{IDs: make([]int32, rows+1)}}, g) // positions 0 to rows−1
			var scores []tensor.Tensor
			h, scores = mod.Forward(m, h.Slice(0, 0, rows).Contiguous(), s.Ints(q.IDs[k+1:k+1+rows], rows), one.Rows)
			v, err := scores[0].Values()
			must(t, err)
			want += balance(slices.Collect(slices.Chunk(v, m.Config.NRoutedExperts)), m.Config.NumExpertsPerTok,
				alpha) / float64(len(seqs))
		}
		s.Close()
	}
	of := func(seqs []model.Sequence) (main, all float64) {
		s := tensor.NewScope(m.Backend(), tensor.Options{})
		defer s.Close()
		b := m.NewBatch(s, seqs, g)
		out := m.Forward(s, b)
		_, gated := d.Loss(s, out, b)
		item := func(gated ...model.Gated) float64 {
			l, ok := out.BalanceLoss(b, alpha, gated...)
			if !ok {
				t.Fatal("no balance loss")
			}
			v, err := l.Item()
			must(t, err)
			return v
		}
		return item(), item(gated...)
	}
	main, all := of(seqs)
	near(t, "balance loss of the modules", all-main, want)
	mainA, allA := of(seqs[:2])
	mainB, allB := of(seqs[2:])
	near(t, "balance loss of two micro-batches", allA-mainA+allB-mainB, want)
}

// The balance loss alone gives the right gradients, through both depths: for the gates of
// the modules and for all parameters before them.
func TestGradientsOfTheModulesBalanceLoss(t *testing.T) {
	m, d := newModel(t, backend.F64)
	const seed = 13
	t.Log("seed", seed)
	seqs := sequences(seed, 7, 3, 5)
	g := model.Totals(seqs)
	get := func(name string) *tensor.Param {
		p := m.Params.Get(name)
		if p == nil {
			t.Fatal(name)
		}
		return p
	}
	params := []*tensor.Param{
		get("model.layers.2.mlp.gate.weight"), get("model.layers.3.mlp.gate.weight"), get("model.layers.2.eh_proj.weight"),
		get("model.layers.3.self_attn.o_proj.weight"), get("model.layers.1.post_attention_layernorm.weight"),
	}
	gradtest.Check(t, params, func(s *tensor.Scope) tensor.Tensor {
		b := m.NewBatch(s, seqs, g)
		out := m.Forward(s, b)
		_, gated := d.Loss(s, out, b)
		var loss tensor.Tensor
		for i, x := range gated {
			term := x.Gate.BalanceLoss(x.Scores, x.SeqStart, 2, b.Sequences)
			if i > 0 {
				term = tensor.Add(loss, term)
			}
			loss = term
		}
		return loss
	}, gradtest.Options{Seed: seed, Samples: 60})
}

// Recomputing the modules' blocks in the backward pass gives the same bits with less
// memory.
func TestRecomputeReachesTheModules(t *testing.T) {
	seqs := sequences(14, 60, 40)
	g := model.Totals(seqs)
	run := func(recompute bool) (loss float64, grads [][]float64, loads [][]int, peak int) {
		m, d := newModel(t, backend.F32)
		m.Recompute = recompute
		s := tensor.NewScope(m.Backend(), tensor.Options{Grad: true})
		defer s.Close()
		b := m.NewBatch(s, seqs, g)
		out := m.Forward(s, b)
		s.ResetPeak()
		before := s.LiveBytes()
		l, gated := d.Loss(s, out, b)
		peak = s.PeakBytes() - before
		if x, ok := out.BalanceLoss(b, 0.5, gated...); ok {
			l = tensor.Add(l, x)
		}
		must(t, s.Backward(l))
		loss, err := l.Item()
		must(t, err)
		for _, p := range m.Params.All() {
			grads = append(grads, gradient(t, p))
		}
		gates, _ := d.Gates()
		for _, gate := range gates {
			load, err := gate.Load()
			must(t, err)
			loads = append(loads, load)
		}
		return loss, grads, loads, peak
	}
	loss, grads, loads, peak := run(false)
	again, regrads, reloads, repeak := run(true)
	if loss != again || !slices.EqualFunc(grads, regrads, slices.Equal) || !slices.EqualFunc(loads, reloads,
		slices.Equal) {
		t.Error("recomputation changes the loss, gradients or loads")
	}
	if repeak > peak*2/3 {
		t.Errorf("the modules' forward takes %d bytes with recomputation, %d without", repeak, peak)
	}
	t.Logf("peak of the modules' forward: %d bytes, recomputed %d", peak, repeak)
}

func gradient(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	g, err := p.Grad()
	must(t, err)
	s := tensor.NewScope(p.Backend(), tensor.Options{})
	defer s.Close()
	x, err := s.Constant(g).Values()
	must(t, err)
	return x
}

var _ model.Drafter = (*mtp.MTP)(nil)
