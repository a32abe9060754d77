package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

func newParams(t testing.TB, dt backend.DType) *tensor.Params {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return tensor.NewParams(b, tensor.Init{Seed: 3, Std: 1, DType: dt})
}

func mustMoments(t testing.TB, o Optimizer, ps *tensor.Params) *Moments {
	t.Helper()
	ms, err := NewMoments(o, ps.All())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ms.Free)
	return ms
}

// Step 0 would divide by 1 − β⁰ = 0 and make every weight NaN.
func TestAStepBeforeTheFirstIsRefused(t *testing.T) {
	ps := tensor.NewParams(newCPU(t), tensor.Init{})
	p := ps.Gain("w", 3)
	ms := mustMoments(t, AdamW{LR: 1}, ps)
	if err := ms.Step(At{Factor: 1, GradScale: 1}); !says(err, "train: At.Step is 0, want 1 or more") {
		t.Errorf("got %v", err)
	}
	if w, err := p.Floats(); err != nil || !slices.Equal(w, []float64{1, 1, 1}) {
		t.Errorf("weights %v, %v", w, err)
	}
}

func normal(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

func maxDiff(a, b []float64) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(a[i]-b[i]))
	}
	return d
}

// The expected values follow algorithm 2 of Loshchilov and Hutter (2019), with V3's
// coefficients and the schedule's factor applied to the decay too.
func TestAdamWFollowsItsDefinition(t *testing.T) {
	const seed = 5
	t.Log("seed", seed)
	for _, c := range []struct {
		name      string
		dt        backend.DType
		bf16      bool
		tolerance float64
	}{{"F64", backend.F64, false, 1e-14}, {"F32", backend.F32, false, 2e-6}, {"BF16 moments", backend.F32, true, 2e-3}} {
		ps := newParams(t, c.dt)
		matrix, vector := ps.Matrix("m", 3, 5), ps.Gain("v", 15)
		frozen := ps.Matrix("f", 3, 5)
		frozen.Trainable = false
		untouched := mustFloats(t, frozen)
		o := AdamW{LR: 0.02, WeightDecay: 0.1, BF16Moments: c.bf16}
		ms := mustMoments(t, o, ps)
		r := rand.New(rand.NewPCG(seed, 0))
		for _, p := range []*tensor.Param{matrix, vector} {
			w, m, v := mustFloats(t, p), make([]float64, 15), make([]float64, 15)
			decay := 0.1
			if p == vector {
				decay = 0
			}
			for step := 1; step <= 10; step++ {
				g := normal(r, 15)
				setGrad(t, matrix, make([]float64, 15))
				setGrad(t, vector, make([]float64, 15))
				setGrad(t, p, g)
				at := At{Step: step, Factor: 1 / float64(step), GradScale: 0.5}
				alone := &Moments{opt: ms.opt, at: ms.at, scratch: ms.scratch}
				for i, q := range ms.params {
					if q == p {
						alone.params, alone.moments = ms.params[i:i+1], ms.moments[i:i+1]
					}
				}
				version := p.Version()
				if err := alone.Step(at); err != nil {
					t.Fatal(err)
				}
				if p.Version() == version {
					t.Fatalf("%s: packed copies remain outdated", p.Name)
				}
				lr := 0.02 / float64(step)
				for i := range w {
					d := g[i] / 2
					m[i] = 0.9*m[i] + 0.1*d
					v[i] = 0.95*v[i] + 0.05*d*d
					mHat := m[i] / (1 - math.Pow(0.9, float64(step)))
					vHat := v[i] / (1 - math.Pow(0.95, float64(step)))
					w[i] -= lr * (mHat/(math.Sqrt(vHat)+1e-8) + decay*w[i])
				}
			}
			if d := maxDiff(mustFloats(t, p), w); d > c.tolerance {
				t.Errorf("%s: %s is %g off after 10 steps", c.name, p.Name, d)
			}
		}
		if maxDiff(mustFloats(t, frozen), untouched) != 0 {
			t.Errorf("%s: a frozen parameter changed", c.name)
		}
		if n := len(ms.Params()); n != 4 {
			t.Errorf("%s: %d moments, want two for each of two parameters", c.name, n)
		}
	}
}

func TestMomentsAreNamedAfterTheirParameters(t *testing.T) {
	ps := newParams(t, backend.F32)
	ps.Matrix("model.layers.0.self_attn.o_proj.weight", 2, 2)
	ps.Gain("model.norm.weight", 2)
	var names []string
	for _, m := range mustMoments(t, Muon{LR: 1, AdamW: AdamW{BF16Moments: true}}, ps).Params() {
		v := m.Value()
		names = append(names, m.Name+" "+v.String())
	}
	want := "model.layers.0.self_attn.o_proj.weight.momentum_buffer F32[2 2], model.norm.weight.exp_avg BF16[2], " +
		"model.norm.weight.exp_avg_sq BF16[2]"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestAParameterWithoutGradientIsSteppedAsIfItWereZero(t *testing.T) {
	step := func(allocated bool) []float64 {
		ps := newParams(t, backend.F32)
		p := ps.Matrix("m", 2, 2)
		if allocated {
			setGrad(t, p, make([]float64, 4))
		}
		if err := mustMoments(t, AdamW{LR: 0.1, WeightDecay: 0.5}, ps).Step(At{Step: 1, Factor: 1,
			GradScale: 1}); err != nil {
			t.Fatal(err)
		}
		return mustFloats(t, p)
	}
	if maxDiff(step(true), step(false)) != 0 {
		t.Error("whether a gradient was allocated changes the step")
	}
}

func TestGradientNormIsOverAllParametersAndNamesTheFirstBadOne(t *testing.T) {
	ps := newParams(t, backend.F32)
	a, b, c := ps.Matrix("a", 1, 2), ps.Gain("b", 2), ps.Gain("c", 1)
	frozen := ps.Gain("frozen", 1)
	frozen.Trainable = false
	ms := mustMoments(t, AdamW{LR: 1}, ps)
	setGrad(t, a, []float64{1, -4})
	setGrad(t, b, []float64{2, 2})
	setGrad(t, frozen, []float64{100})
	norm, bad, err := ms.GradNorm()
	if norm != 5 || bad != nil || err != nil {
		t.Errorf("norm %v, bad %v, %v; want 5", norm, bad, err)
	}
	setGrad(t, c, []float64{math.Inf(1)})
	setGrad(t, b, []float64{0, math.NaN()})
	if _, bad, _ := ms.GradNorm(); bad != b {
		t.Errorf("bad is %v, want b", bad)
	}
}

func TestClippingScalesDownOnly(t *testing.T) {
	for _, c := range []struct{ norm, limit, want float64 }{
		{5, 1, 0.2}, {0.5, 1, 1}, {1, 1, 1}, {0, 1, 1}, {5, math.Inf(1), 1},
	} {
		if got := clipScale(c.norm, c.limit); got != c.want {
			t.Errorf("norm %g, limit %g: scale %g, want %g", c.norm, c.limit, got, c.want)
		}
	}
}
