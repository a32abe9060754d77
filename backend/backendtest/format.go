package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// Products with matrices in a format other than Native. In BFloat16 they are
// held to the rounding of F32 sums of exactly rounded operands. How a backend
// chooses the scales of Q8 and Q4, and whether it quantises the left operand, is
// its own affair within the step of the integers: an element may be wrong by
// what both roundings allow.

// step is the largest error of a block element whose largest magnitude is most,
// in format f: half a step of the integers; for Q4, whose integers reach from −8
// to 7, a whole one, and more where the scale that errs least in the mean clips
// the largest. F16 scales add a little.
func step(f backend.Format, most float64) float64 {
	switch f {
	case backend.Q8:
		return most/254*1.01 + 1e-7
	case backend.Q4:
		return most/6 + 1e-7
	}
	return 0
}

// inexact is a line of operand values along K and the error of each that the
// format allows.
type inexact struct{ value, err []float64 }

// quantised is x, n elements apart by stride, as an operand of format f. A left
// operand is quantised to int8 where weights are.
func quantised(f backend.Format, left bool, x []float64, n, stride int) inexact {
	q := inexact{make([]float64, n), make([]float64, n)}
	if left && f == backend.Q4 {
		f = backend.Q8
	}
	for b := 0; b < n; b += backend.QuantBlock {
		end, most := min(b+backend.QuantBlock, n), 0.0
		for k := b; k < end; k++ {
			if q.value[k] = x[k*stride]; f == backend.BFloat16 {
				q.value[k] = rounded(backend.BF16, q.value[k])
			}
			most = max(most, math.Abs(q.value[k]))
		}
		for k := b; k < end; k++ {
			q.err[k] = step(f, most)
		}
	}
	return q
}

// dot is Σ a·b and its allowed error in units of F32's roundoff.
func (a inexact) dot(b inexact) (sum, bound float64) {
	size, extra := 0.0, 0.0
	for k, x := range a.value {
		y := b.value[k]
		sum += x * y
		size += math.Abs(x * y)
		extra += math.Abs(x)*b.err[k] + math.Abs(y)*a.err[k] + a.err[k]*b.err[k]
	}
	return sum, terms(len(a.value))*(size+extra) + extra/(slack*roundoff(backend.F32))
}

var formats = []backend.Format{backend.BFloat16, backend.Q8, backend.Q4}

type formatMatMulSpec struct {
	Format backend.Format
	matMulSpec
}

func formatMatMulFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		c := matMulFamily().random(r).(matMulSpec)
		format := formats[r.IntN(3)]
		if c.Panels = c.Panels || format != backend.BFloat16; c.Panels && len(c.Batch) == 2 {
			c.Batch = c.Batch[:1]
		}
		return formatMatMulSpec{format, c}
	}}
	for _, format := range formats {
		for i, n := range edges {
			f.cases = append(f.cases,
				formatMatMulSpec{format, matMulSpec{M: n, K: 37, N: 9, Panels: true, Accumulate: i%2 == 0}},
				formatMatMulSpec{format, matMulSpec{M: 3, K: n, N: 18, Panels: true, Accumulate: i%2 == 1}},
				formatMatMulSpec{format, matMulSpec{M: 5, K: 64, N: n, Panels: true}},
				formatMatMulSpec{format, matMulSpec{M: 1, K: 40, N: n, Panels: true}})
		}
		f.cases = append(f.cases,
			formatMatMulSpec{format, matMulSpec{M: 65, K: 129, N: 97, Panels: true}},
			formatMatMulSpec{format, matMulSpec{M: 9, K: 1025, N: 33, Panels: true, Accumulate: true}},
			formatMatMulSpec{format, matMulSpec{Batch: []int{3}, M: 9, K: 17, N: 31, Panels: true}},
			formatMatMulSpec{format, matMulSpec{Batch: []int{0}, M: 9, K: 17, N: 31, Panels: true}})
		f.bench = append(f.bench,
			formatMatMulSpec{format, matMulSpec{M: 512, K: 1024, N: 1024, Panels: true}},
			formatMatMulSpec{format, matMulSpec{M: 1, K: 1024, N: 1024, Panels: true}})
	}
	for _, m := range []int{1, 8, 33, 170} {
		f.cases = append(f.cases,
			formatMatMulSpec{backend.BFloat16, matMulSpec{M: m, K: 33, N: 65}},
			formatMatMulSpec{backend.BFloat16, matMulSpec{Batch: []int{2, 3}, M: m, K: 16, N: 7, Accumulate: true}})
	}
	return f
}

func (formatMatMulSpec) noF64() {}

func (c formatMatMulSpec) build(s *setup) {
	dims := func(n ...int) []int { return append(append([]int(nil), c.Batch...), n...) }
	a, b := s.read("A", free, dims(c.M, c.K)...), s.matrixOperand("B", false, s.normal(1), dims(c.K, c.N)...)
	op := &backend.MatMul{A: a.view, B: s.matrix(b, c.Panels, c.Format), Accumulate: c.Accumulate}
	out := s.write("C", free, dims(c.M, c.N)...)
	if c.Accumulate {
		out.store(s.normal(1))
	}
	op.C = out.view
	s.op = op
	batch := 1
	for _, n := range c.Batch {
		batch *= n
	}
	s.flops = 2 * float64(batch*c.M*c.K*c.N)
	s.want = func() {
		for e := range batch {
			for j := range c.N {
				col := quantised(c.Format, false, b.vals[e*c.K*c.N+min(j, c.K*c.N):], c.K, c.N)
				for i := range c.M {
					at := (e*c.M+i)*c.N + j
					sum, bound := quantised(c.Format, true, a.vals[(e*c.M+i)*c.K:], c.K, 1).dot(col)
					if c.Accumulate {
						sum, bound = sum+out.vals[at], bound+terms(c.K)*math.Abs(out.vals[at])
					}
					out.expect(at, sum, bound)
				}
			}
		}
	}
}

type formatGroupedSpec struct {
	Format backend.Format
	groupedMatMulSpec
}

func formatGroupedFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return formatGroupedSpec{formats[r.IntN(3)], groupedMatMulSpec{randomGroups(r), true}}
	}}
	for _, g := range groups {
		for _, format := range formats {
			f.cases = append(f.cases, formatGroupedSpec{format, groupedMatMulSpec{g, true}})
		}
		f.cases = append(f.cases, formatGroupedSpec{backend.BFloat16, groupedMatMulSpec{g, false}})
	}
	return f
}

func (formatGroupedSpec) noF64() {}

func (c formatGroupedSpec) build(s *setup) {
	m := c.rows()
	a := s.readWith("A", free, s.normal(1), m, c.P)
	b := s.matrixOperand("B", false, s.normal(1), len(c.Sizes), c.P, c.Q)
	out, offsets := s.write("C", free, m, c.Q), c.offsets(s)
	s.op = &backend.GroupedMatMul{C: out.view, A: a.view, B: s.matrix(b, c.Panels, c.Format), Offsets: offsets.view}
	s.want = func() {
		c.each(func(e, row int) {
			left := quantised(c.Format, true, a.vals[row*c.P:], c.P, 1)
			for j := range c.Q {
				sum, bound := left.dot(quantised(c.Format, false, b.vals[min(e*c.P*c.Q+j, len(b.vals)):], c.P, c.Q))
				out.expect(row*c.Q+j, sum, bound)
			}
		})
	}
}

// formatOuterSpec is the weight gradient in BFloat16.
type formatOuterSpec struct{ groupedOuterSpec }

func formatOuterFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return formatOuterSpec{groupedOuterSpec{randomGroups(r)}} }}
	for _, g := range groups {
		f.cases = append(f.cases, formatOuterSpec{groupedOuterSpec{g}})
	}
	return f
}

func (formatOuterSpec) noF64() {}

func (c formatOuterSpec) build(s *setup) {
	c.groupedOuterSpec.build(s)
	op := s.op.(*backend.GroupedOuter)
	op.Format = backend.BFloat16
	a, b, out := s.operands[0], s.operands[1], s.operands[2]
	s.gradients, s.want = nil, func() {
		first := 0
		for e, n := range c.Sizes {
			for i := range c.P * c.Q {
				at := e*c.P*c.Q + i
				x := quantised(backend.BFloat16, true, a.vals[min(first*c.P+i/c.Q, len(a.vals)):], n, c.P)
				y := quantised(backend.BFloat16, false, b.vals[min(first*c.Q+i%c.Q, len(b.vals)):], n, c.Q)
				sum, bound := x.dot(y)
				if n == 0 {
					out.expect(at, out.vals[at], 0)
				} else {
					out.expect(at, sum+out.vals[at], bound+terms(n)*math.Abs(out.vals[at]))
				}
			}
			first += n
		}
	}
}

// unpackSpec packs a matrix, or a stack of them, and unpacks it again.
type unpackSpec struct {
	Format backend.Format
	Src    backend.DType
	Shape  []int
}

func unpackFamily() family {
	f := family{random: func(r *rand.Rand) spec {
		c := unpackSpec{backend.Format(r.IntN(4)), backend.F32, []int{size(r, 0), size(r, 0)}}
		if c.Format != backend.Native && r.IntN(2) == 0 {
			c.Src = backend.BF16
		}
		return c
	}}
	for _, shape := range [][]int{{0, 3}, {1, 1}, {32, 16}, {33, 17}, {65, 97}, {3, 40, 20}, {0, 4, 4}} {
		f.cases = append(f.cases, unpackSpec{backend.Native, backend.F32, shape}, unpackSpec{backend.Native, backend.F64, shape})
		for _, format := range formats {
			f.cases = append(f.cases, unpackSpec{format, backend.F32, shape}, unpackSpec{format, backend.BF16, shape})
		}
	}
	return f
}

func (unpackSpec) op() string { return "Unpack" }

func (c unpackSpec) dtype() backend.DType { return c.Src.Compute() }

func (c unpackSpec) build(s *setup) {
	src := s.operand("Src", c.Src, free, true, c.Shape).store(s.normal(1))
	out := s.write("Dst", free, c.Shape...)
	s.op = &backend.Unpack{Dst: out.view, Src: s.matrix(src, true, c.Format)}
	k, n := src.view.Dim(-2), src.view.Dim(-1)
	s.want = func() {
		for i := range src.vals {
			at, p := i/(k*n)*k*n+i%n, i%(k*n)/n
			q := quantised(c.Format, false, src.vals[at:], k, n)
			out.expect(i, q.value[p], q.err[p]/(slack*roundoff(s.dt)))
		}
	}
}
