package backendtest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend"
)

type matMulSpec struct {
	Batch      []int
	M, K, N    int
	Accumulate bool
	Packed     bool // B is packed
}

func matMulFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		c := matMulSpec{M: size(r, 0), K: size(r, 0), N: size(r, 0), Accumulate: r.IntN(3) == 0, Packed: r.IntN(4) == 0}
		for len(c.Batch) < 2 && r.IntN(3) == 0 {
			c.Batch = append(c.Batch, r.IntN(4))
		}
		if c.Packed && len(c.Batch) == 2 {
			c.Batch = c.Batch[:1]
		}
		return c
	}}
	for i, n := range edges {
		f.cases = append(f.cases,
			matMulSpec{M: n, K: 17, N: 9, Accumulate: i%2 == 0},
			matMulSpec{M: 3, K: n, N: 18, Accumulate: i%2 == 1},
			matMulSpec{M: 5, K: 12, N: n, Packed: i%3 == 1},
			matMulSpec{M: 1, K: 40, N: n, Packed: i%3 == 2})
	}
	for _, packed := range []bool{false, true} {
		f.cases = append(f.cases,
			matMulSpec{M: 65, K: 129, N: 97, Packed: packed},
			matMulSpec{M: 9, K: 1025, N: 33, Packed: packed, Accumulate: true},
			matMulSpec{Batch: []int{3}, M: 9, K: 17, N: 31, Packed: packed},
			matMulSpec{Batch: []int{0}, M: 9, K: 17, N: 31, Packed: packed})
	}
	f.cases = append(f.cases, matMulSpec{Batch: []int{2, 3}, M: 9, K: 17, N: 8}, matMulSpec{Batch: []int{2, 2}, M: 1,
		K: 70, N: 33, Accumulate: true})
	f.bench = []spec{matMulSpec{M: 512, K: 1024, N: 1024}, matMulSpec{M: 512, K: 1024, N: 1024, Packed: true},
		matMulSpec{M: 1, K: 1024, N: 1024, Packed: true}}
	return f
}

func (matMulSpec) op() string { return "MatMul" }

func (c matMulSpec) build(s *setup) {
	dims := func(n ...int) []int { return append(append([]int(nil), c.Batch...), n...) }
	a, b := s.read("A", free, dims(c.M, c.K)...), s.matrixOperand("B", c.Packed, s.normal(1), dims(c.K, c.N)...)
	op := &backend.MatMul{A: a.view, B: s.matrix(b.view, c.Packed, backend.Native), Accumulate: c.Accumulate}
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
		for i := range batch {
			m := product{a.vals[i*c.M*c.K:], b.vals[i*c.K*c.N:], c.K, c.N}
			for j := range c.M * c.N {
				sum, size := m.at(j/c.N, j%c.N)
				at := i*c.M*c.N + j
				if c.Accumulate {
					sum, size = sum+out.vals[at], size+math.Abs(out.vals[at])
				}
				out.expect(at, sum, terms(c.K)*size)
			}
		}
	}
}

// matrix returns v as the right operand of a product. If packed is set, the backend packs
// it before the op. Otherwise, if f is a format of floats with scales, the backend
// quantises half of the matrices before the op, to the strided, scaled form.
func (s *setup) matrix(v backend.View, packed bool, f backend.Format) backend.Matrix {
	switch {
	case !packed && (f.BlockK == 0 || !f.Element.IsFloat() || v.Rank > 3 || s.rng.IntN(2) == 0):
		return backend.Matrix{Data: v, Format: f}
	case !packed:
		return s.scaled(v, f)
	}
	k, n := v.Dim(-2), v.Dim(-1)
	dt, size := v.DType, 0
	if s.packer != nil {
		dt, size = s.packer.PackedLen(f, dt, k, n)
	}
	if size == 0 && (s.packer == nil || k > 0 && n > 0) {
		s.skip = "the backend does not pack in format " + f.String()
	}
	data := s.operand("B packed", dt, flat, false, append(v.Dims()[:v.Rank-2], size))
	data.opaque = true
	m := backend.Matrix{Data: data.view, Layout: backend.Packed, Format: f, K: k, N: n}
	s.prelude = append(s.prelude, &backend.Pack{Dst: m, Src: backend.MatrixOf(v)})
	return m
}

// scaled returns v in the strided, scaled form of f.
func (s *setup) scaled(v backend.View, f backend.Format) backend.Matrix {
	k, n, batch := v.Dim(-2), v.Dim(-1), v.Dims()[:v.Rank-2]
	across, down := (k+int(f.BlockK)-1)/int(f.BlockK), (n+int(f.BlockN)-1)/int(f.BlockN)
	codes := s.operand("B codes", f.Element, flat, false, append(slices.Clone(batch), n, k))
	scales := s.operand("B scales", f.Scale, flat, false, append(slices.Clone(batch), down, across))
	codes.opaque, scales.opaque = true, true
	m := backend.Matrix{Data: codes.view.T(), Scale: scales.view.T(), Format: f}
	s.prelude = append(s.prelude, &backend.Pack{Dst: m, Src: backend.MatrixOf(v)})
	return m
}

// product is the matrix product of a [·, K] and b [K, N], row-major.
type product struct {
	a, b []float64
	k, n int
}

// at returns element (i, j) and the sum of the magnitudes of its terms.
func (p product) at(i, j int) (sum, size float64) {
	for k, v := range p.a[i*p.k:][:p.k] {
		v *= p.b[k*p.n+j]
		sum += v
		size += math.Abs(v)
	}
	return sum, size
}
