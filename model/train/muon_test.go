package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// orthogonalized applies newtonSchulz to matrices [n, r, c].
func orthogonalized(t *testing.T, p *tensor.Param) []float64 {
	t.Helper()
	s := tensor.NewScope(p.Backend(), tensor.Options{})
	defer s.Close()
	x, err := s.Constant(newtonSchulz(s, p.Value())).Values()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// reference applies the quintic polynomial to the singular values, which equals the
// iteration in exact arithmetic.
func reference(t *testing.T, r, c int, x []float64) *mat.Dense {
	t.Helper()
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(r, c, x), mat.SVDThin) {
		t.Fatal("no SVD")
	}
	var u, v, us, out mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	values := svd.Values(nil)
	norm := 0.0
	for _, s := range values {
		norm += s * s
	}
	norm = math.Sqrt(norm)
	for i, s := range values {
		s /= norm
		for range 5 {
			s = 3.4445*s - 4.7750*math.Pow(s, 3) + 2.0315*math.Pow(s, 5)
		}
		values[i] = s
	}
	us.Mul(&u, mat.NewDiagDense(len(values), values))
	out.Mul(&us, v.T())
	return &out
}

func TestNewtonSchulzIsTheQuinticOfTheSingularValues(t *testing.T) {
	const seed = 9
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, shape := range [][3]int{{1, 12, 12}, {1, 6, 20}, {1, 20, 6}, {3, 5, 9}, {1, 1, 7}, {1, 7, 1}} {
		n, r, c := shape[0], shape[1], shape[2]
		x := normal(rng, n*r*c)
		for _, test := range []struct {
			dt        backend.DType
			tolerance float64
		}{{backend.F64, 1e-6}, {backend.F32, 1e-4}} { // the reference does not add 1e-7 to the norm
			ps := newParams(t, test.dt)
			p := ps.Stack("stack.*", n, r, c)
			mustSet(t, p, x)
			got := orthogonalized(t, p)
			for e := range n {
				part := x[e*r*c:][:r*c]
				if d := maxDiff(got[e*r*c:][:r*c], reference(t, r, c, part).RawMatrix().Data); d > test.tolerance {
					t.Errorf("%s %v: matrix %d is %g off", test.dt, shape, e, d)
				}
			}
		}
	}
}

func TestNewtonSchulzMakesNearlyOrthogonalMatrices(t *testing.T) {
	const seed = 10
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, shape := range [][2]int{{16, 64}, {64, 16}, {32, 96}} {
		ps := newParams(t, backend.F32)
		p := ps.Matrix("m", shape[0], shape[1])
		mustSet(t, p, normal(rng, p.Len()))
		var svd mat.SVD
		if !svd.Factorize(mat.NewDense(shape[0], shape[1], orthogonalized(t, p)), mat.SVDNone) {
			t.Fatal("no SVD")
		}
		for _, s := range svd.Values(nil) {
			if s < 0.68 || s > 1.14 {
				t.Errorf("%v: singular value %g", shape, s)
			}
		}
	}
	ps := newParams(t, backend.F32)
	zero := ps.Matrix("zero", 4, 4)
	mustSet(t, zero, make([]float64, 16))
	if d := maxDiff(orthogonalized(t, zero), make([]float64, 16)); d != 0 {
		t.Errorf("a zero matrix becomes %g", d)
	}
}

// The expected values follow Moonlight's published update, computed with gonum.
func TestMuonFollowsMoonlight(t *testing.T) {
	const seed, r, c = 12, 4, 10
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ps := newParams(t, backend.F64)
	p := ps.Matrix("model.layers.0.mlp.up_proj.weight", r, c)
	ms := mustMoments(t, Muon{LR: 0.03, WeightDecay: 0.1}, ps)
	w := mustFloats(t, p)
	momentum := make([]float64, r*c)
	for step := 1; step <= 4; step++ {
		g := normal(rng, r*c)
		setGrad(t, p, g)
		if err := ms.Step(At{Step: step, Factor: 0.5, GradScale: 0.25}); err != nil {
			t.Fatal(err)
		}
		nesterov := make([]float64, r*c)
		for i := range g {
			momentum[i] = 0.95*momentum[i] + g[i]/4
			nesterov[i] = g[i]/4 + 0.95*momentum[i]
		}
		o := reference(t, r, c, nesterov).RawMatrix().Data
		for i := range w {
			w[i] -= 0.015 * (0.2*math.Sqrt(10)*o[i] + 0.1*w[i])
		}
	}
	if d := maxDiff(mustFloats(t, p), w); d > 1e-6 {
		t.Errorf("%g off after 4 steps", d)
	}
}

func TestMuonTreatsEachExpertAsAMatrixOfItsOwn(t *testing.T) {
	const e, r, c = 3, 6, 4
	rng := rand.New(rand.NewPCG(13, 0))
	ps := newParams(t, backend.F32)
	stack := ps.Stack("model.layers.1.mlp.experts.*.up_proj.weight", e, r, c)
	g := normal(rng, e*r*c)
	setGrad(t, stack, g)
	w := mustFloats(t, stack)
	at := At{Step: 1, Factor: 1, GradScale: 1}
	if err := mustMoments(t, Muon{LR: 0.1}, ps).Step(at); err != nil {
		t.Fatal(err)
	}
	got := mustFloats(t, stack)
	for i := range e {
		ps := newParams(t, backend.F32)
		p := ps.Matrix("model.layers.1.mlp.up_proj.weight", r, c)
		mustSet(t, p, w[i*r*c:][:r*c])
		setGrad(t, p, g[i*r*c:][:r*c])
		if err := mustMoments(t, Muon{LR: 0.1}, ps).Step(at); err != nil {
			t.Fatal(err)
		}
		if maxDiff(mustFloats(t, p), got[i*r*c:][:r*c]) != 0 {
			t.Errorf("the update of expert %d in a stack differs from its update alone", i)
		}
	}
}

func TestMuonLeavesAllButTheBlocksMatricesToAdamW(t *testing.T) {
	m := newModel(t, backend.F32)
	newMTP(t, m)
	muon := map[string]bool{}
	for _, p := range m.Params.All() {
		muon[p.Name] = Muon{}.takes(p)
	}
	for name, want := range map[string]bool{
		"model.embed_tokens.weight":                       false,
		"lm_head.weight":                                  false,
		"model.norm.weight":                               false,
		"model.layers.1.mlp.gate.weight":                  false,
		"model.layers.1.mlp.gate.e_score_correction_bias": false,
		"model.layers.1.input_layernorm.weight":           false,
		"model.layers.0.mlp.gate_proj.weight":             true,
		"model.layers.1.mlp.experts.*.down_proj.weight":   true,
		"model.layers.1.self_attn.kv_b_proj.weight":       true,
		"model.layers.2.eh_proj.weight":                   true,
	} {
		got, ok := muon[name]
		if !ok || got != want {
			t.Errorf("%s: Muon %v (present %v), want %v", name, got, ok, want)
		}
	}
	// AdamW uses Muon's learning rate unless it has its own.
	for _, own := range []float64{0, 0.3} {
		ps := newParams(t, backend.F64)
		v := ps.Gain("model.norm.weight", 1)
		setGrad(t, v, []float64{2})
		if err := mustMoments(t, Muon{LR: 0.1, AdamW: AdamW{LR: own}}, ps).Step(At{Step: 1, Factor: 1,
			GradScale: 1}); err != nil {
			t.Fatal(err)
		}
		if got, want := mustFloats(t, v)[0], 1-max(own, 0.1); math.Abs(got-want) > 1e-8 {
			t.Errorf("own rate %g: weight %g, want %g", own, got, want)
		}
	}
}
