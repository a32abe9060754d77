package moe_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
	"github.com/aha-go/aha/moe"
)

func TestLayerEqualsItsDefinition(t *testing.T) {
	b := open(t)
	const seed = 4
	t.Log("seed", seed)
	for name := range variants {
		for _, shared := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s/%d shared", name, shared), func(t *testing.T) {
				cfg := variant(name)
				cfg.Shared = shared
				for _, tokens := range []int{1, 70} {
					m := newMoE(t, b, backend.F64, cfg)
					x := normals(rand.New(rand.NewPCG(seed, 0)), 1, tokens*cfg.Hidden)
					closeTo(t, fmt.Sprintf("%d tokens", tokens), forward(t, m, x), reference(t, m, x), 1e-13)
				}
			})
		}
	}
}

func forward(t testing.TB, m *moe.MoE, x []float64) []float64 {
	t.Helper()
	s := tensor.NewScope(m.Gate.W.W.Backend(), tensor.Options{})
	defer s.Close()
	return values(t, m.Forward(s.Floats(m.Gate.W.W.Value().DType, x, len(x)/m.Hidden, m.Hidden)).Y)
}

func reference(t testing.TB, m *moe.MoE, x []float64) (y []float64) {
	t.Helper()
	for row := range slices.Chunk(x, m.Hidden) {
		y = append(y, referenceMoE(t, m, row)...)
	}
	return y
}

// If all tokens select the same experts, none is dropped, since experts have no capacity
// limit, and the experts without tokens cause no errors.
func TestNoTokenIsDroppedUnderExtremeSkew(t *testing.T) {
	b := open(t)
	cfg := variant("V3 without groups")
	m := newMoE(t, b, backend.F64, cfg)
	favoured := []int{3, 7, 8, 15}
	bias := make([]float64, cfg.Experts)
	for _, e := range favoured {
		bias[e] = 100
	}
	must(t, m.Gate.Bias.SetFloats(bias))
	const tokens = 500
	x := normals(rand.New(rand.NewPCG(6, 0)), 1, tokens*cfg.Hidden)
	closeTo(t, "outputs", forward(t, m, x), reference(t, m, x), 1e-13)

	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	out := m.Forward(s.Floats(backend.F64, x, tokens, cfg.Hidden))
	must(t, s.Backward(tensor.Sum(out.Y)))
	load, err := m.Gate.Load()
	must(t, err)
	want := make([]int, cfg.Experts)
	for _, e := range favoured {
		want[e] = tokens
	}
	if !slices.Equal(load, want) {
		t.Errorf("load %v, want %v", load, want)
	}
	for _, p := range []*tensor.Param{m.Experts.Gate, m.Experts.Up, m.Experts.Down} {
		g, err := p.Grad()
		must(t, err)
		grad, err := backend.Values(b, g)
		must(t, err)
		size := len(grad) / cfg.Experts
		for e := range cfg.Experts {
			nonzero := slices.ContainsFunc(grad[e*size:(e+1)*size], func(v float64) bool { return v != 0 })
			if nonzero != slices.Contains(favoured, e) {
				t.Errorf("%s: expert %d has a gradient: %v", p.Name, e, nonzero)
			}
		}
	}
}

// A token's output has the same bits whichever tokens share its experts.
func TestTokensDoNotInfluenceEachOther(t *testing.T) {
	b := open(t)
	cfg := variant("V3")
	for _, dt := range []backend.DType{backend.F32, backend.F64} {
		m := newMoE(t, b, dt, cfg)
		const tokens = 40
		x := normals(rand.New(rand.NewPCG(6, 0)), 1, tokens*cfg.Hidden)
		together := forward(t, m, x)
		for i := range tokens {
			alone := forward(t, m, x[i*cfg.Hidden:(i+1)*cfg.Hidden])
			if !slices.Equal(alone, together[i*cfg.Hidden:(i+1)*cfg.Hidden]) {
				t.Fatalf("%s: token %d alone %v, among others %v", dt, i, alone, together[i*cfg.Hidden:(i+1)*cfg.Hidden])
			}
		}
	}
}

// If the selection changed between two evaluations, the difference quotient would be huge.
func TestLayerGradientEqualsFiniteDifferences(t *testing.T) {
	b := open(t)
	for name := range variants {
		t.Run(name, func(t *testing.T) {
			cfg := variant(name)
			m := newMoE(t, b, backend.F64, cfg)
			const tokens = 12
			in := gradtest.Normal(t, b, 3, 1, "x", tokens, cfg.Hidden)
			starts := []int32{0, 5, 12}
			loss := func(s *tensor.Scope) tensor.Tensor {
				out := m.Forward(in.In(s))
				l := gradtest.Project(out.Y, 1)
				return tensor.Add(l, m.Gate.BalanceLoss(out.Scores, s.Ints(starts, 3), 0.7, 2))
			}
			params := []*tensor.Param{in, m.Gate.W.W, m.Experts.Gate, m.Experts.Up, m.Experts.Down, m.Shared.Gate.W,
				m.Shared.Up.W, m.Shared.Down.W}
			o := gradtest.Options{Samples: 60, Seed: 1}
			if m.Gate.Bias != nil {
				o.NoGrad = append(o.NoGrad, m.Gate.Bias)
			}
			gradtest.Check(t, params, loss, o)
		})
	}
}

// Two sequences A and B, of two tokens and one, over four experts with top 2, computed by
// hand. Scores of A: (.8 .4 .2 .6) and (.1 .3 .5 .1); of B: (.5 .25 .125 .125).
//
//	A: top-2 {0 3}, {1 2}: f = 4/(2·2)·(1 1 1 1); s̃ = (.4 .2 .1 .3), (.1 .3 .5 .1), Σ f·P = 1
//	B: top-2 {0 1}: f = 4/(2·1)·(1 1 0 0) = (2 2 0 0); P = (.5 .25 .125 .125), Σ f·P = 1.5
func TestBalanceLossByHand(t *testing.T) {
	b := open(t)
	m := newMoE(t, b, backend.F64, moe.Config{Hidden: 2, Intermediate: 2, Experts: 4, TopK: 2, Bias: true})
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	scores := s.Floats(backend.F64, []float64{.8, .4, .2, .6, .1, .3, .5, .1, .5, .25, .125, .125}, 3, 4)
	const alpha = 0.01
	for _, c := range []struct {
		name      string
		starts    []int32
		sequences int
		want      float64
	}{
		{"global batch of two", []int32{0, 2, 3}, 2, alpha * (1 + 1.5) / 2},
		{"part of a global batch of five", []int32{0, 2, 3}, 5, alpha * (1 + 1.5) / 5},
		{"one sequence of all", []int32{0, 3}, 1, // counts 2 2 1 1, f = (4 4 2 2)/3, 3P = (1 .75 .725 .525)
			alpha * (4*1 + 4*.75 + 2*.725 + 2*.525) / 9},
	} {
		got := values(t, m.Gate.BalanceLoss(scores, s.Ints(c.starts, len(c.starts)), alpha, c.sequences))[0]
		if math.Abs(got-c.want) > 1e-16 {
			t.Errorf("%s: %.17g, want %.17g", c.name, got, c.want)
		}
	}
}
