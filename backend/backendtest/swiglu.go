package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type swiGLUSpec struct {
	N, F  int
	Large bool // some gates are ±1e4 and larger
}

func swiGLUCases() []spec {
	var list []spec
	for i, n := range edges {
		list = append(list, swiGLUSpec{1 + i%4, n, false})
	}
	return append(list, swiGLUSpec{0, 5, false}, swiGLUSpec{4, 33, true}, swiGLUSpec{20, 1030, false})
}

func swiGLUFamily() family {
	return family{
		cases:  swiGLUCases(),
		bf16:   true,
		random: func(r *rand.Rand) spec { return swiGLUSpec{size(r, 0), size(r, 0), r.IntN(4) == 0} },
		bench:  []spec{swiGLUSpec{512, 1024, false}},
	}
}

func (swiGLUSpec) op() string { return "SwiGLU" }

func (c swiGLUSpec) gates(s *setup) *operand {
	if c.Large {
		return s.readWith("Gate", rows, s.mix(30, 1e4, -1e4, 1e15, -1e15, -88, 88), c.N, c.F)
	}
	return s.readWith("Gate", rows, s.normal(2), c.N, c.F)
}

func (c swiGLUSpec) build(s *setup) {
	gate, up, y := c.gates(s), s.read("Up", rows, c.N, c.F), s.write("Y", rows, c.N, c.F)
	s.op = &backend.SwiGLU{Y: y.view, Gate: gate.view, Up: up.view}
	s.flops = 4 * float64(c.N*c.F)
	s.want = func() {
		for i, v := range swiGLU(gate.vals, up.vals) {
			y.expect(i, v, 6*math.Abs(v))
		}
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func swiGLU(gate, up []float64) []float64 {
	y := make([]float64, len(gate))
	for i, z := range gate {
		y[i] = z * sigmoid(z) * up[i]
	}
	return y
}

type swiGLUGradSpec struct{ swiGLUSpec }

func swiGLUGradFamily() family {
	f := family{
		bf16:     true,
		random:   func(r *rand.Rand) spec { return swiGLUGradSpec{swiGLUSpec{size(r, 0), size(r, 0), r.IntN(4) == 0}} },
		gradient: []spec{swiGLUGradSpec{swiGLUSpec{3, 7, false}}},
		bench:    []spec{swiGLUGradSpec{swiGLUSpec{512, 1024, false}}},
	}
	for _, c := range swiGLUCases() {
		f.cases = append(f.cases, swiGLUGradSpec{c.(swiGLUSpec)})
	}
	return f
}

func (swiGLUGradSpec) op() string { return "SwiGLUGrad" }

func (c swiGLUGradSpec) build(s *setup) {
	gate, up, dy := c.gates(s), s.read("Up", rows, c.N, c.F), s.read("DY", rows, c.N, c.F)
	dgate, dup := s.write("DGate", rows, c.N, c.F), s.write("DUp", rows, c.N, c.F)
	s.op = &backend.SwiGLUGrad{DGate: dgate.view, DUp: dup.view, DY: dy.view, Gate: gate.view, Up: up.view}
	s.flops = 10 * float64(c.N*c.F)
	s.want = func() {
		gg, gu := make([]float64, len(gate.vals)), make([]float64, len(gate.vals))
		for i, z := range gate.vals {
			p, g, u := sigmoid(z), dy.vals[i], up.vals[i]
			gu[i] = g * z * p
			gg[i] = g * u * p * (1 + z*(1-p))
			dup.expect(i, gu[i], 6*math.Abs(gu[i]))
			// 1 − σ has an absolute error of one roundoff, which is multiplied by z.
			dgate.expect(i, gg[i], 6*math.Abs(g*u*p)*(1+math.Abs(z)))
		}
		loss := func() float64 { return dot(swiGLU(gate.vals, up.vals), dy.vals) }
		s.gradient("Gate", gate.vals, gg, loss)
		s.gradient("Up", up.vals, gu, loss)
	}
}
