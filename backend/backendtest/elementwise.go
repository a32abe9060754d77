package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// shapes are the shapes of elementwise cases.
var shapes = [][]int{{}, {0}, {1}, {7}, {8}, {9}, {16}, {17}, {33}, {65}, {257}, {1023}, {1025}, {0, 4}, {3, 0}, {3,
	5}, {2, 31}, {2, 3, 4}, {2, 3, 4, 5}, {3, 1, 2, 9}}

// specials are values at which functions have kinks, overflow or are undefined.
var specials = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 1e4, -1e4, 1e30, -1e30, 88, -87, -103, math.Inf(1),
	math.Inf(-1), math.NaN()}

type unarySpec struct {
	Fn      backend.UnaryFn
	Shape   []int
	InPlace bool
}

func unaryFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return unarySpec{backend.UnaryFn(r.IntN(int(backend.Log1p) + 1)), randomShape(r, 0), r.IntN(2) == 0}
	}}
	for fn := backend.Affine; fn <= backend.Log1p; fn++ {
		for i, shape := range shapes {
			f.cases = append(f.cases, unarySpec{fn, shape, i%4 == 3})
		}
		f.bench = append(f.bench, unarySpec{Fn: fn, Shape: []int{512, 1024}})
	}
	return f
}

func (c unarySpec) op() string { return c.Fn.String() }

func (c unarySpec) build(s *setup) {
	const a, b = -1.5, 2.25
	var x, y *operand
	if c.InPlace {
		x = s.operand("X", s.dt, free, false, c.Shape).store(s.mix(3, specials...))
		y = x
	} else {
		x = s.readWith("X", free, s.mix(3, specials...), c.Shape...)
		y = s.write("Y", free, c.Shape...)
	}
	s.op = &backend.Unary{Y: y.view, X: x.view, Fn: c.Fn, A: a, B: b}
	s.want = func() {
		for i, v := range x.vals {
			want, bound := unary(c.Fn, v, a, b)
			y.expect(i, want, bound)
		}
	}
}

// unary returns fn(x) and the allowed error in units of roundoff.
func unary(fn backend.UnaryFn, x, a, b float64) (y, bound float64) {
	switch fn {
	case backend.Affine:
		return a*x + b, math.Abs(a*x) + math.Abs(b)
	case backend.Clamp:
		return min(max(x, a), b), 0
	case backend.Exp:
		y = math.Exp(x)
		return y, 2 * y
	case backend.Log:
		y = math.Log(x)
		return y, 2 * math.Abs(y)
	case backend.Sigmoid:
		y = 1 / (1 + math.Exp(-x))
		return y, 3 * y
	case backend.Sqrt:
		return math.Sqrt(x), math.Sqrt(x)
	case backend.Reciprocal:
		return 1 / x, math.Abs(1 / x)
	case backend.Abs:
		return math.Abs(x), 0
	case backend.Tanh:
		y = math.Tanh(x)
		return y, 4 * math.Abs(y)
	case backend.Erf:
		y = math.Erf(x)
		return y, 4 * math.Abs(y)
	case backend.Log1p:
		y = math.Log1p(x)
		return y, 2 * math.Abs(y)
	default:
		if x > 0 {
			return 1, 0
		} else if x < 0 {
			return -1, 0
		}
		return x, 0
	}
}

type binarySpec struct {
	Fn      backend.BinaryFn
	Shape   []int
	InPlace bool // Y is A
	Ints    bool // operands are I32
	IntY    bool // the result is I32
}

func binaryFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		c := binarySpec{Fn: backend.BinaryFn(r.IntN(int(backend.Equal) + 1)), Shape: randomShape(r, 0), Ints: r.IntN(3) == 0}
		c.Ints = c.Ints && c.Fn != backend.Div
		c.IntY = c.Ints && c.Fn < backend.Less || c.Fn >= backend.Less && r.IntN(2) == 0
		c.InPlace = c.Ints == c.IntY && r.IntN(3) == 0
		return c
	}}
	for fn := backend.Add; fn <= backend.Equal; fn++ {
		f.bench = append(f.bench, binarySpec{Fn: fn, Shape: []int{512, 1024}})
		compares := fn >= backend.Less
		for i, shape := range shapes {
			f.cases = append(f.cases, binarySpec{Fn: fn, Shape: shape, InPlace: i%4 == 1})
			if fn != backend.Div && i%3 == 0 {
				f.cases = append(f.cases, binarySpec{Fn: fn, Shape: shape, Ints: true, IntY: true})
			}
			if compares && i%3 == 1 {
				f.cases = append(f.cases, binarySpec{Fn: fn, Shape: shape, IntY: true}, binarySpec{Fn: fn, Shape: shape,
					Ints: true})
			}
		}
	}
	return f
}

func (c binarySpec) op() string { return c.Fn.String() }

func (c binarySpec) build(s *setup) {
	dtA, dtB, dtY := s.activation(), s.activation(), s.activation()
	gen := s.mix(3, specials...)
	if c.Fn <= backend.Div { // without 1e30, since 1e30·1e30 overflows F32
		gen = s.mix(3, 0, 1, -1, 1e4, 1e15, -1e15, math.Inf(1), math.NaN())
	}
	if c.Ints {
		dtA, dtB, gen = backend.I32, backend.I32, func(int) float64 { return float64(s.rng.IntN(9) - 4) }
	}
	if c.IntY {
		dtY = backend.I32
	}
	a := s.operand("A", dtA, free, !c.InPlace, c.Shape).store(gen)
	b := s.operand("B", dtB, free, true, c.Shape).store(gen)
	y := a
	if !c.InPlace {
		y = s.operand("Y", dtY, free, false, c.Shape)
	}
	s.op = &backend.Binary{Y: y.view, A: a.view, B: b.view, Fn: c.Fn}
	s.want = func() {
		for i, v := range a.vals {
			want := binary(c.Fn, v, b.vals[i])
			bound := 0.0
			if c.Fn <= backend.Div && !c.Ints && !math.IsInf(want, 0) {
				bound = math.Abs(want)
			}
			y.expect(i, want, bound)
		}
	}
}

func binary(fn backend.BinaryFn, a, b float64) float64 {
	holds := false
	switch fn {
	case backend.Add:
		return a + b
	case backend.Sub:
		return a - b
	case backend.Mul:
		return a * b
	case backend.Div:
		return a / b
	case backend.Max:
		return max(a, b)
	case backend.Min:
		return min(a, b)
	case backend.Less:
		holds = a < b
	case backend.LessEqual:
		holds = a <= b
	case backend.Equal:
		holds = a == b
	}
	if holds {
		return 1
	}
	return 0
}

// selectSpec has NaN among the values that are not selected.
type selectSpec struct{ Shape []int }

func selectFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return selectSpec{randomShape(r, 0)} }}
	for _, shape := range shapes {
		f.cases = append(f.cases, selectSpec{shape})
	}
	f.bench = []spec{selectSpec{[]int{512, 1024}}}
	return f
}

func (selectSpec) op() string { return "Select" }

func (c selectSpec) build(s *setup) {
	cond := s.operand("Cond", backend.I32, free, true,
		c.Shape).store(func(int) float64 { return float64(s.rng.IntN(3) - 1) })
	a, b := s.readWith("A", free, s.mix(1, math.NaN(), math.Inf(1)), c.Shape...), s.readWith("B", free, s.mix(1,
		math.NaN(), math.Inf(-1)), c.Shape...)
	y := s.write("Y", free, c.Shape...)
	s.op = &backend.Select{Y: y.view, Cond: cond.view, A: a.view, B: b.view}
	s.want = func() {
		for i, k := range cond.vals {
			if k != 0 {
				y.expect(i, a.vals[i], 0)
			} else {
				y.expect(i, b.vals[i], 0)
			}
		}
	}
}
