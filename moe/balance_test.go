package moe_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

func TestBiasMovesBySignOfTheLoad(t *testing.T) {
	b := open(t)
	start := []float64{0.5, -0.25, 0, 1}
	for _, c := range []struct {
		name     string
		load     []int
		gamma    float64
		centered bool
		want     []float64
	}{
		// c̄ = 10: two loads are below the mean, one equals it, one is above.
		{"signs", []int{4, 9, 10, 17}, 0.125, false, []float64{0.625, -0.125, 0, 0.875}},
		// Signs +1 +1 0 −1 have mean ¼.
		{"centered signs", []int{4, 9, 10, 17}, 0.125, true, []float64{0.59375, -0.15625, -0.03125, 0.84375}},
		// c̄ = 2.75: integer division would give 2 and count expert 1 as balanced.
		// balanced.
		{"fractional mean", []int{3, 2, 3, 3}, 0.125, false, []float64{0.375, -0.125, -0.125, 0.875}},
		{"balanced", []int{5, 5, 5, 5}, 0.125, false, start},
		{"balanced and centered", []int{5, 5, 5, 5}, 0.125, true, start},
		{"no load", []int{0, 0, 0, 0}, 0.125, true, start},
		{"gamma 0", []int{4, 9, 10, 17}, 0, false, start},
		{"one expert has all", []int{0, 0, 8, 0}, 0.125, false, []float64{0.625, -0.125, -0.125, 1.125}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMoE(t, b, backend.F32, moe.Config{Hidden: 2, Intermediate: 2, Experts: 4, TopK: 2, Bias: true})
			must(t, m.Gate.Bias.SetFloats(start))
			must(t, m.Gate.UpdateBias(c.load, c.gamma, c.centered))
			if got := floats(t, m.Gate.Bias); !slices.Equal(got, c.want) {
				t.Errorf("bias %v, want %v", got, c.want)
			}
		})
	}
}

func TestCenteredUpdateKeepsTheSumAndTheSelection(t *testing.T) {
	b := open(t)
	cfg := variant("V3 without groups")
	const seed, tokens = 12, 100
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	x := normals(rng, 1, tokens*cfg.Hidden)
	run := func(centered bool) (index []float64, sum float64) {
		m := newMoE(t, b, backend.F64, cfg)
		rng := rand.New(rand.NewPCG(seed, 1))
		before := 0.0
		for _, v := range floats(t, m.Gate.Bias) {
			before += v
		}
		for range 20 {
			load := make([]int, cfg.Experts)
			for i := range load {
				load[i] = rng.IntN(9)
			}
			load[3] = 100 // most experts are below the mean
			must(t, m.Gate.UpdateBias(load, 0.01, centered))
		}
		for _, v := range floats(t, m.Gate.Bias) {
			sum += v
		}
		s := tensor.NewScope(b, tensor.Options{})
		defer s.Close()
		return values(t, m.Forward(s.Floats(backend.F64, x, tokens, cfg.Hidden)).Index), sum - before
	}
	plain, moved := run(false)
	centered, kept := run(true)
	if !slices.Equal(plain, centered) {
		t.Error("the two rules select different experts")
	}
	if math.Abs(kept) > 1e-12 || math.Abs(moved) < 1e-3 {
		t.Errorf("the sum of the biases changes by %g centered and %g plain, want 0 and not 0", kept, moved)
	}
}

func TestUpdateWithoutBiasDoesNothing(t *testing.T) {
	m := newMoE(t, open(t), backend.F32, variant("V2-Lite"))
	if m.Gate.Bias != nil {
		t.Fatal("V2-Lite has a selection bias")
	}
	must(t, m.Gate.UpdateBias(make([]int, 16), 1, true))
}

func TestMaxVio(t *testing.T) {
	for _, c := range []struct {
		load []int
		want float64
	}{
		{[]int{5, 5, 5, 5}, 0},
		{[]int{20, 0, 0, 0}, 3},
		{[]int{1, 2, 3, 2}, 0.5},
		{[]int{0, 0}, 0},
		{nil, 0},
	} {
		if got := moe.MaxVio(c.load); got != c.want {
			t.Errorf("MaxVio(%v) = %v, want %v", c.load, got, c.want)
		}
	}
}

func TestLoadCountsTrainingOnce(t *testing.T) {
	b := open(t)
	cfg := variant("V3")
	m := newMoE(t, b, backend.F64, cfg)
	const tokens = 30
	x := normals(rand.New(rand.NewPCG(1, 0)), 1, tokens*cfg.Hidden)
	load := func() []int {
		l, err := m.Gate.Load()
		must(t, err)
		return l
	}
	if got := load(); !slices.Equal(got, make([]int, cfg.Experts)) {
		t.Errorf("load of a fresh gate: %v", got)
	}
	forward(t, m, x)
	if got := load(); !slices.Equal(got, make([]int, cfg.Experts)) {
		t.Errorf("load after inference: %v", got)
	}
	var want []int
	for pass, recompute := range []bool{false, true, false} {
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		in := s.Floats(backend.F64, x, tokens, cfg.Hidden)
		layer := func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
			return []tensor.Tensor{m.Forward(in[0]).Y}
		}
		var y tensor.Tensor
		if recompute {
			y = tensor.Recompute(layer, in)[0]
		} else {
			y = layer(s, []tensor.Tensor{in})[0]
		}
		must(t, s.Backward(tensor.Sum(y)))
		s.Close()
		got := load()
		if pass == 0 {
			want = got
			if sum(got) != tokens*cfg.TopK {
				t.Fatalf("%d assignments counted, want %d", sum(got), tokens*cfg.TopK)
			}
		}
		for e := range got {
			if got[e] != (pass+1)*want[e] {
				t.Fatalf("load after %d passes: %v, want %d times %v", pass+1, got, pass+1, want)
			}
		}
	}
	must(t, m.Gate.ResetLoad())
	if got := load(); !slices.Equal(got, make([]int, cfg.Experts)) {
		t.Errorf("load after ResetLoad: %v", got)
	}
}

func sum(load []int) (n int) {
	for _, c := range load {
		n += c
	}
	return n
}

// The bias alone, without a gradient, balances a router that sends nearly all tokens to two
// experts.
func TestBiasBalancesASkewedRouter(t *testing.T) {
	b := open(t)
	cfg := moe.Config{Hidden: 8, Intermediate: 2, Experts: 8, TopK: 2, Normalize: true, Bias: true}
	const seed, tokens, steps, gamma = 17, 256, 200, 0.01
	t.Log("seed", seed)
	for _, centered := range []bool{false, true} {
		m := newMoE(t, b, backend.F32, cfg)
		must(t, m.Gate.Bias.SetFloats(make([]float64, cfg.Experts)))
		w := normals(rand.New(rand.NewPCG(seed, 0)), 0.5, cfg.Experts*cfg.Hidden)
		for e := range 2 {
			w[e*cfg.Hidden] = 4 // the first feature is always 1
		}
		must(t, m.Gate.W.W.SetFloats(w))
		rng := rand.New(rand.NewPCG(seed, 1))
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		defer s.Close()
		var first float64
		late := make([]int, cfg.Experts) // total load of the last 20 steps
		for step := range steps {
			x := normals(rng, 1, tokens*cfg.Hidden)
			for i := 0; i < len(x); i += cfg.Hidden {
				x[i] = 1
			}
			m.Forward(s.Floats(backend.F32, x, tokens, cfg.Hidden))
			must(t, s.Err())
			s.Reset()
			load, err := m.Gate.Load()
			must(t, err)
			must(t, m.Gate.ResetLoad())
			if sum(load) != tokens*cfg.TopK {
				t.Fatalf("step %d: %d assignments, want %d", step, sum(load), tokens*cfg.TopK)
			}
			if step == 0 {
				first = moe.MaxVio(load)
			}
			if step >= steps-20 {
				for e, c := range load {
					late[e] += c
				}
			}
			must(t, m.Gate.UpdateBias(load, gamma, centered))
		}
		if last := moe.MaxVio(late); first < 2 || last > 0.1 {
			t.Errorf("centered %v: MaxVio went from %.2f to %.2f, want from above 2 to below 0.1", centered, first, last)
		}
	}
}
