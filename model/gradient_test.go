package model_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

// small is a tiny V3 with every kind of part: query compression, a dense and an MoE layer,
// grouped routing, a shared expert, one MTP module.
func small() model.Config {
	c := model.Tiny(32)
	c.VocabSize, c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize = 20, 16, 20, 6
	c.NumHiddenLayers, c.NumAttentionHeads, c.NumKeyValueHeads = 2, 2, 2
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 10, 8, 4, 4, 6
	c.NRoutedExperts, c.NGroup, c.TopKGroup = 8, 4, 2
	c.InitializerRange = 0.4
	return c
}

// smallSequences includes a sequence that is too short for MTP and one with weights.
func smallSequences() []model.Sequence {
	return []model.Sequence{
		{IDs: []int32{3, 14, 15, 9, 2, 6, 5}},
		{IDs: []int32{3, 5}},
		{IDs: []int32{8, 9, 7, 9, 3}, Weight: []float32{0.5, 0, 2, 1}},
	}
}

// router is a backend that records the experts that every gate chose.
type router struct {
	backend.Decorator
	chosen [][]float64 // per gate, in order of execution
}

func (r *router) Do(op backend.Op) error {
	if err := r.Backend.Do(op); err != nil {
		return err
	}
	if gate, ok := op.(*backend.MoEGate); ok {
		index, err := backend.Values(r.Backend, gate.Index)
		if err != nil {
			return err
		}
		r.chosen = append(r.chosen, index)
	}
	return nil
}

// fullLoss is the sum of main, MTP and balance loss.
func fullLoss(m *model.Model, d *mtp.MTP, s *tensor.Scope, seqs []model.Sequence, g model.Global) tensor.Tensor {
	b := m.NewBatch(s, seqs, g)
	out := m.Forward(s, b)
	l := tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, out.LogProbs(b.Targets))))
	var drafted []model.Gated
	if d != nil {
		var ahead tensor.Tensor
		ahead, drafted = d.Loss(s, out, b)
		l = tensor.Add(l, ahead)
	}
	if balance, ok := out.BalanceLoss(b, 0.5, drafted...); ok {
		l = tensor.Add(l, balance)
	}
	return l
}

// newSmall returns a small model with its MTP module. The bias of expert 5 keeps every gate
// from choosing it.
func newSmall(t *testing.T, b backend.Backend, o model.Options) (*model.Model, *mtp.MTP) {
	t.Helper()
	m, err := model.NewWith(b, small(), 11, o)
	must(t, err)
	t.Cleanup(m.Free)
	d, err := mtp.New(m)
	must(t, err)
	gates, _ := m.Gates()
	more, _ := d.Gates()
	for _, g := range append(gates, more...) {
		must(t, g.Bias.SetFloats([]float64{0.05, -0.1, 0.1, 0, 0.02, -9, -0.03, 0.07}))
	}
	return m, d
}

// The gradient of every tensor of a V3-shaped model equals central differences. If the
// routing changed between evaluations, a difference would not approximate the derivative,
// so the routing of every evaluation is compared with that of the first.
func TestWholeGradientEqualsFiniteDifferences(t *testing.T) {
	for _, c := range []struct {
		name      string
		o         model.Options
		recompute bool
	}{
		{"naive", model.Options{DType: backend.F64}, false},
		{"absorbed", model.Options{DType: backend.F64, Absorbed: true}, false},
		{"recompute", model.Options{DType: backend.F64}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &router{Decorator: backend.Decorator{Backend: open(t)}}
			m, d := newSmall(t, b, c.o)
			m.Recompute = c.recompute
			var routing [][]float64
			evaluations := 0
			loss := func(s *tensor.Scope) tensor.Tensor {
				b.chosen = b.chosen[:0]
				l := fullLoss(m, d, s, smallSequences(), model.Totals(smallSequences()))
				if routing == nil {
					routing = slices.Clone(b.chosen)
				}
				if evaluations++; !slices.EqualFunc(b.chosen, routing, slices.Equal[[]float64]) {
					t.Fatalf("evaluation %d chooses experts %v, the first one %v", evaluations, b.chosen, routing)
				}
				return l
			}
			o := gradtest.Options{Samples: 30, Seed: 1}
			var params []*tensor.Param
			for _, p := range m.Params.All() {
				if strings.HasSuffix(p.Name, "e_score_correction_bias") {
					o.NoGrad = append(o.NoGrad, p)
				} else {
					params = append(params, p)
				}
			}
			if len(o.NoGrad) != 2 {
				t.Fatalf("%d selection biases, want 2", len(o.NoGrad))
			}
			gradtest.Check(t, params, loss, o)
			if len(routing) != 2 {
				t.Errorf("%d gates ran, want 2", len(routing))
			}
			for _, index := range routing {
				if slices.Contains(index, 5) {
					t.Errorf("expert 5 was chosen: %v", index)
				}
			}
		})
	}
}

// gradients returns the gradients of a model by parameter name, nil for parameters without
// one.
func gradients(t testing.TB, m *model.Model) map[string][]float64 {
	t.Helper()
	all := map[string][]float64{}
	for _, p := range m.Params.All() {
		if !p.HasGrad() {
			all[p.Name] = nil
			continue
		}
		g, err := p.Grad()
		must(t, err)
		v, err := backend.Values(m.Backend(), g)
		must(t, err)
		all[p.Name] = v
	}
	return all
}

// backward returns the loss of seqs and leaves its gradients in the parameters.
func backward(t testing.TB, m *model.Model, d *mtp.MTP, seqs []model.Sequence, g model.Global) float64 {
	t.Helper()
	s := tensor.NewScope(m.Backend(), tensor.Options{Grad: true})
	defer s.Close()
	l := fullLoss(m, d, s, seqs, g)
	must(t, s.Backward(l))
	v, err := l.Item()
	must(t, err)
	return v
}

func TestGradientsThatMustVanishDo(t *testing.T) {
	b := open(t)
	m, d := newSmall(t, b, model.Options{DType: backend.F64})
	seqs := smallSequences()
	backward(t, m, d, seqs, model.Totals(seqs))
	zero := func(name string, v []float64) {
		t.Helper()
		if slices.ContainsFunc(v, func(x float64) bool { return x != 0 }) {
			t.Errorf("%s has a gradient", name)
		}
	}
	grads := gradients(t, m)
	for name, g := range grads {
		size := len(g) / 8
		switch {
		case strings.HasSuffix(name, "e_score_correction_bias"):
			zero(name, g)
		case strings.Contains(name, ".experts.*."): // expert 5 is never chosen
			zero(name+" of expert 5", g[5*size:6*size])
		case name == "model.embed_tokens.weight":
			for id := range int32(20) {
				used := slices.ContainsFunc(seqs, func(q model.Sequence) bool { return slices.Contains(q.IDs[:len(q.IDs)-1], id) })
				if row := g[id*16 : (id+1)*16]; !used {
					zero(fmt.Sprint("embedding of ", id), row)
				} else if norm(row) == 0 {
					t.Errorf("embedding of %d has no gradient", id)
				}
			}
		default:
			if norm(g) == 0 {
				t.Errorf("%s has no gradient", name)
			}
		}
	}
}

// Frozen parameters get no gradient, and the gradients of all others keep their bits.
func TestFreezingChangesNoOtherGradient(t *testing.T) {
	b := open(t)
	m, d := newSmall(t, b, model.Options{})
	seqs := smallSequences()
	want := backward(t, m, d, seqs, model.Totals(seqs))
	whole := gradients(t, m)
	for i := range 3 {
		m, d := newSmall(t, b, model.Options{})
		for j, p := range m.Params.All() {
			p.Trainable = p.Trainable && j%3 != i
		}
		if got := backward(t, m, d, seqs, model.Totals(seqs)); got != want {
			t.Errorf("loss %v, want %v", got, want)
		}
		for name, g := range gradients(t, m) {
			switch p := m.Params.Get(name); {
			case !p.Trainable && g != nil:
				t.Errorf("%s is frozen and has a gradient", name)
			case p.Trainable && !slices.Equal(g, whole[name]):
				t.Errorf("%s: its gradient changes if other parameters are frozen", name)
			}
		}
	}
}
