package backendtest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend"
)

// The cases in this file are products with matrices in a format other than Native. In
// BFloat16 and FP8 the operands are rounded exactly as the format defines, and the result
// has the error of an F32 sum. In Q8, Q4 and Q4_1 a backend may choose the scales, and need
// not quantise the left operand, so the result may also have the errors of quantising both.

// step returns the largest error of an element of a block whose largest magnitude is
// most, in integers of the given number of bits: half a quantisation step. For 4 bits,
// which range from −8 to 7, it is a whole step or more, since the scale with the least
// mean error may clip the largest element. F16 scales add a little.
func step(bits int, most float64) float64 {
	if bits == 4 {
		return most/6 + 1e-7
	}
	return most/254*1.01 + 1e-7
}

// inexact is an operand [rows, cols] of a product, row-major, with the error that the
// format allows in each element.
type inexact struct {
	value, err []float64
	cols       int
}

// stepBetween is step for a block with a minimum, whose numbers range from least to most:
// 4 bits divide the range by 15.
func stepBetween(bits int, least, most float64) float64 {
	largest := max(math.Abs(least), math.Abs(most))
	return (most-least)/float64(int(2)<<bits-2)*1.01 + largest/1024 + 1e-6
}

// leftOperand returns x [rows, k] as the left operand of a product in format f.
func leftOperand(f backend.Format, x []float64, rows, k int) inexact {
	return quantised(f.Left, 8, false, 1, int(f.LeftBlock), leastLeft, x, rows, k)
}

// rightOperand returns x [k, n] as the right operand of a product in format f.
func rightOperand(f backend.Format, x []float64, k, n int) inexact {
	return quantised(f.Element, int(f.Width), f.Min, int(f.BlockK), int(f.BlockN), 0, x, k, n)
}

// leastLeft is the least magnitude for which a scale of an E4M3 left operand is computed,
// see backend.FP8.
const leastLeft = 1e-4

// quantised returns x [rows, cols] in elements of dt. Blocks of height × width share a
// scale, which is computed for a magnitude of at least least. bits is the width of
// integers; 0 means 8. minimums says that each block has a minimum; missing elements of
// the last blocks then count as zeros. Floats are exactly as the format defines.
func quantised(dt backend.DType, bits int, minimums bool, height, width int, least float32, x []float64, rows,
	cols int) inexact {
	x = x[:rows*cols]
	q := inexact{slices.Clone(x), make([]float64, rows*cols), cols}
	if dt == backend.F32 { // Native is not quantised
		return q
	}
	if dt.IsFloat() && height*width == 0 {
		for i, v := range x {
			q.value[i] = rounded(dt, v)
		}
		return q
	}
	for i := 0; i < rows; i += height {
		for j := 0; j < cols; j += width {
			block := func(visit func(at int)) {
				for r := i; r < min(i+height, rows); r++ {
					for c := j; c < min(j+width, cols); c++ {
						visit(r*cols + c)
					}
				}
			}
			most := 0.0
			block(func(at int) { most = max(most, math.Abs(x[at])) })
			if dt.IsFloat() {
				d := max(float32(most), least) / 448
				if d == 0 {
					d = 1
				}
				block(func(at int) { q.value[at] = dt.Round(float64(float32(x[at])/d)) * float64(d) })
				continue
			}
			err := step(bits, most)
			if minimums {
				lo, hi := math.Inf(1), math.Inf(-1)
				block(func(at int) { lo, hi = min(lo, x[at]), max(hi, x[at]) })
				if i+height > rows {
					lo, hi = min(lo, 0), max(hi, 0)
				}
				err = stepBetween(bits, lo, hi)
			}
			block(func(at int) { q.err[at] = err })
		}
	}
	return q
}

// dot returns row i of a times column j of b, and its allowed error in units of F32
// roundoff.
func (a inexact) dot(i int, b inexact, j int) (sum, bound float64) {
	size, extra := 0.0, 0.0
	for k, x := range a.value[i*a.cols:][:a.cols] {
		e, at := a.err[i*a.cols+k], k*b.cols+j
		y, d := b.value[at], b.err[at]
		sum += x * y
		size += math.Abs(x * y)
		extra += math.Abs(x)*d + math.Abs(y)*e + e*d
	}
	return sum, terms(a.cols)*(size+extra) + extra/(slack*roundoff(backend.F32))
}

// formats lists the named formats except Native.
var formats = backend.Formats()[1:]

// trainable lists the formats that train, except Native.
func trainable() (list []backend.Format) {
	for _, f := range formats {
		if !f.ForwardOnly {
			list = append(list, f)
		}
	}
	return list
}

type formatMatMulSpec struct {
	Format backend.Format
	matMulSpec
}

func formatMatMulFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return formatMatMulSpec{formats[r.IntN(len(formats))], matMulFamily().random(r).(matMulSpec)}
	}}
	for _, format := range formats {
		for i, n := range edges {
			f.cases = append(f.cases,
				formatMatMulSpec{format, matMulSpec{M: n, K: 37, N: 9, Packed: true, Accumulate: i%2 == 0}},
				formatMatMulSpec{format, matMulSpec{M: 3, K: n, N: 18, Packed: true, Accumulate: i%2 == 1}},
				formatMatMulSpec{format, matMulSpec{M: 5, K: 64, N: n, Packed: true}},
				formatMatMulSpec{format, matMulSpec{M: 1, K: 40, N: n, Packed: true}})
		}
		f.cases = append(f.cases,
			formatMatMulSpec{format, matMulSpec{M: 65, K: 129, N: 97, Packed: true}},
			formatMatMulSpec{format, matMulSpec{M: 9, K: 1025, N: 33, Packed: true, Accumulate: true}},
			formatMatMulSpec{format, matMulSpec{Batch: []int{3}, M: 9, K: 17, N: 31, Packed: true}},
			formatMatMulSpec{format, matMulSpec{Batch: []int{0}, M: 9, K: 17, N: 31, Packed: true}})
		f.bench = append(f.bench,
			formatMatMulSpec{format, matMulSpec{M: 512, K: 1024, N: 1024, Packed: true}},
			formatMatMulSpec{format, matMulSpec{M: 1, K: 1024, N: 1024, Packed: true}})
	}
	for _, format := range formats {
		for _, m := range []int{1, 8, 33, 170} {
			f.cases = append(f.cases,
				formatMatMulSpec{format, matMulSpec{M: m, K: 33, N: 65}},
				formatMatMulSpec{format, matMulSpec{Batch: []int{2, 3}, M: m, K: 16, N: 7, Accumulate: true}})
		}
	}
	return f
}

func (formatMatMulSpec) noF64() {}

func (c formatMatMulSpec) build(s *setup) {
	dims := func(n ...int) []int { return append(append([]int(nil), c.Batch...), n...) }
	a, b := s.read("A", free, dims(c.M, c.K)...), s.matrixOperand("B", c.Packed, s.normal(1), dims(c.K, c.N)...)
	op := &backend.MatMul{A: a.view, B: s.matrix(b.view, c.Packed, c.Format), Accumulate: c.Accumulate}
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
			left := leftOperand(c.Format, a.vals[e*c.M*c.K:], c.M, c.K)
			right := rightOperand(c.Format, b.vals[e*c.K*c.N:], c.K, c.N)
			for j := range c.N {
				for i := range c.M {
					at := (e*c.M+i)*c.N + j
					sum, bound := left.dot(i, right, j)
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
		return formatGroupedSpec{formats[r.IntN(len(formats))], groupedMatMulSpec{randomGroups(r), r.IntN(2) == 0}}
	}}
	for _, g := range groups {
		for _, format := range formats {
			f.cases = append(f.cases, formatGroupedSpec{format, groupedMatMulSpec{g, true}},
				formatGroupedSpec{format, groupedMatMulSpec{g, false}})
		}
	}
	return f
}

func (formatGroupedSpec) noF64() {}

func (c formatGroupedSpec) build(s *setup) {
	m := c.rows()
	a := s.readWith("A", free, s.normal(1), m, c.P)
	b := s.matrixOperand("B", c.Packed, s.normal(1), len(c.Sizes), c.P, c.Q)
	out, offsets := s.write("C", free, m, c.Q), c.offsets(s)
	s.op = &backend.GroupedMatMul{C: out.view, A: a.view, B: s.matrix(b.view, c.Packed, c.Format), Offsets: offsets.view}
	s.want = func() {
		left, right := leftOperand(c.Format, a.vals, m, c.P), make([]inexact, len(c.Sizes))
		for e := range right {
			right[e] = rightOperand(c.Format, b.vals[e*c.P*c.Q:], c.P, c.Q)
		}
		c.each(func(e, row int) {
			for j := range c.Q {
				sum, bound := left.dot(row, right[e], j)
				out.expect(row*c.Q+j, sum, bound)
			}
		})
	}
}

// formatOuterSpec is the weight gradient in a format that trains.
type formatOuterSpec struct {
	Format backend.Format
	groupedOuterSpec
}

func formatOuterFamily() family {
	trains := trainable()
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return formatOuterSpec{trains[r.IntN(len(trains))], groupedOuterSpec{randomGroups(r)}}
	}}
	for _, g := range groups {
		for _, format := range trains {
			f.cases = append(f.cases, formatOuterSpec{format, groupedOuterSpec{g}})
		}
	}
	return f
}

func (formatOuterSpec) noF64() {}

func (c formatOuterSpec) build(s *setup) {
	c.groupedOuterSpec.build(s)
	op := s.op.(*backend.GroupedOuter)
	op.Format = c.Format
	a, b, out := s.operands[0], s.operands[1], s.operands[2]
	s.gradients, s.want = nil, func() {
		first := 0
		for e, n := range c.Sizes {
			x := leftOperand(c.Format, transposed(a.vals[first*c.P:], n, c.P), c.P, n)
			y := rightOperand(c.Format, b.vals[first*c.Q:], n, c.Q)
			for i := range c.P * c.Q {
				at := e*c.P*c.Q + i
				sum, bound := x.dot(i/c.Q, y, i%c.Q)
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

// transposed returns the row-major matrix x [rows, cols] as [cols, rows].
func transposed(x []float64, rows, cols int) []float64 {
	y := make([]float64, rows*cols)
	for i := range y {
		y[i] = x[i%rows*cols+i/rows]
	}
	return y
}

// unpackSpec packs a matrix, or a stack of them, in one or two parts, and unpacks it: the
// whole or some of its columns.
type unpackSpec struct {
	Format  backend.Format
	Src     backend.DType
	Shape   []int
	Columns int // number of columns that are looked up; if 0, the whole matrix is unpacked
	Cut     int // column at which packing is split in two parts; if 0, it is not split
}

func unpackFamily() family {
	f := family{random: func(r *rand.Rand) spec {
		all := backend.Formats()
		c := unpackSpec{Format: all[r.IntN(len(all))], Src: backend.F32, Shape: []int{size(r, 0), size(r, 0)}}
		if c.Format != backend.Native && r.IntN(2) == 0 {
			c.Src = backend.BF16
		}
		if c.Format != backend.Native && c.Shape[1] > 0 {
			c.Columns = r.IntN(5)
		}
		return c
	}}
	for _, shape := range [][]int{{0, 3}, {1, 1}, {32, 16}, {33, 17}, {65, 97}, {3, 40, 20}, {0, 4, 4}} {
		f.cases = append(f.cases, unpackSpec{Format: backend.Native, Src: backend.F32, Shape: shape},
			unpackSpec{Format: backend.Native, Src: backend.F64, Shape: shape})
		if len(shape) == 2 {
			f.cases = append(f.cases, unpackSpec{Format: backend.Native, Src: backend.F32, Shape: shape, Columns: 7},
				unpackSpec{Format: backend.Native, Src: backend.F64, Shape: shape, Columns: 7})
		}
		for _, format := range formats {
			for _, src := range []backend.DType{backend.F32, backend.BF16} {
				f.cases = append(f.cases, unpackSpec{Format: format, Src: src, Shape: shape})
				if len(shape) == 2 {
					f.cases = append(f.cases, unpackSpec{Format: format, Src: src, Shape: shape, Columns: 7})
				}
			}
		}
	}
	for _, format := range backend.Formats() {
		f.cases = append(f.cases, unpackSpec{Format: format, Src: backend.F32, Shape: []int{33, 300}, Cut: 128},
			unpackSpec{Format: format, Src: backend.F32, Shape: []int{2, 5, 256}, Cut: 128})
	}
	for _, format := range backend.Formats() {
		f.bench = append(f.bench, unpackSpec{Format: format, Src: backend.F32, Shape: []int{1024, 1024}})
	}
	return f
}

func (unpackSpec) op() string { return "Unpack" }

func (c unpackSpec) dtype() backend.DType { return c.Src.Compute() }

func (c unpackSpec) build(s *setup) {
	src := s.operand("Src", c.Src, free, true, c.Shape).store(s.normal(1))
	k, n := src.view.Dim(-2), src.view.Dim(-1)
	op := &backend.Unpack{Src: s.matrix(src.view, true, c.Format)}
	if c.Cut > 0 {
		whole := s.prelude[len(s.prelude)-1].(*backend.Pack)
		s.prelude = s.prelude[:len(s.prelude)-1]
		for _, part := range [][2]int{{c.Cut, n}, {0, c.Cut}} {
			cut := *whole
			cut.Src.Data, cut.Column = src.view.Slice(-1, part[0], part[1]), part[0]
			s.prelude = append(s.prelude, &cut)
		}
	}
	var matrices []inexact
	right := func(i int) (value, err float64) { // returns element i of Src and its allowed error
		for e := len(matrices); e <= i/(k*n); e++ {
			matrices = append(matrices, rightOperand(c.Format, src.vals[e*k*n:], k, n))
		}
		q := matrices[i/(k*n)]
		value, err = q.value[i%(k*n)], q.err[i%(k*n)]
		if c.Format.BlockK > 0 { // a product with a scale
			value = float64(float32(value))
		}
		return value, err
	}
	s.op = op
	if c.Columns > 0 {
		index := s.ints("Index", flat, s.below(-1, n), c.Columns)
		out := s.write("Dst", free, k, c.Columns)
		op.Dst, op.Index = out.view, index.view
		s.want = func() {
			for i := range out.vals {
				if j := int(index.vals[i%c.Columns]); j < 0 {
					out.expect(i, 0, 0)
				} else {
					value, err := right(i/c.Columns*n + j)
					out.expect(i, value, err/(slack*roundoff(s.dt)))
				}
			}
		}
		return
	}
	out := s.write("Dst", free, c.Shape...)
	op.Dst = out.view
	s.want = func() {
		for i := range src.vals {
			value, err := right(i)
			out.expect(i, value, err/(slack*roundoff(s.dt)))
		}
	}
}
