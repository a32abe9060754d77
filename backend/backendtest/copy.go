package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type copySpec struct {
	Dst, Src backend.DType
	Shape    []int
}

func copyFamily() family {
	var f family
	dtypes := []backend.DType{backend.F32, backend.F64, backend.BF16, backend.I32, backend.E4M3}
	for _, dst := range dtypes {
		for _, src := range dtypes {
			for _, shape := range [][]int{{0}, {9}, {3, 17}, {2, 3, 4, 5}, {1030}} {
				f.cases = append(f.cases, copySpec{dst, src, shape})
			}
		}
	}
	f.random = func(r *rand.Rand) spec { return copySpec{dtypes[r.IntN(5)], dtypes[r.IntN(5)], randomShape(r, 0)} }
	f.bench = []spec{copySpec{backend.F32, backend.F32, []int{1024, 1024}}, copySpec{backend.BF16, backend.F32, []int{1024, 1024}}}
	return f
}

func (c copySpec) op() string { return "Copy" }

func (c copySpec) dtype() backend.DType {
	if c.Dst == backend.F64 || c.Src == backend.F64 {
		return backend.F64
	}
	return backend.F32
}

func (c copySpec) build(s *setup) {
	gen := s.mix(100, specials...)
	if c.Dst == backend.I32 || c.Src == backend.I32 {
		gen = s.mix(1e4, 0, 0.5, -0.5, 1.5, -1.5, 1<<20, -1<<20)
	} else if c.Dst == backend.BF16 {
		// Halfway between two BF16 numbers, the lower one even and odd, the
		// largest F32, and one that rounds to the next power of 2.
		gen = s.mix(100, append(specials, 1+0x1p-8, 1+0x3p-8, -1-0x1p-8, math.MaxFloat32, 2-0x1p-10, 0x1p-130)...)
	}
	if c.Dst == backend.E4M3 && c.Src != backend.I32 {
		// Halfway between two numbers, normal and not, and the largest.
		gen = s.mix(100, append(specials, 1+0x1p-4, 1+0x3p-4, -17, 0x1p-10, 0x3p-10, 448, 464, 465, 1e9)...)
	}
	src := s.operand("Src", c.Src, free, true, c.Shape).store(gen)
	dst := s.operand("Dst", c.Dst, free, false, c.Shape)
	s.op = &backend.Copy{Dst: dst.view, Src: src.view}
	s.want = func() {
		for i, x := range src.vals {
			dst.expect(i, rounded(c.Dst, x), 0)
		}
	}
}

// rounded is x as dt holds it, computed apart from DType.Put for BF16: by
// nearest multiples rather than bits.
func rounded(dt backend.DType, x float64) float64 {
	switch dt {
	case backend.F32:
		return float64(float32(x))
	case backend.I32:
		return math.Trunc(x)
	case backend.BF16:
		if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
			return x
		}
		_, exponent := math.Frexp(x) // |x| in [2^(exponent−1), 2^exponent)
		unit := math.Ldexp(1, max(exponent-8, -133))
		if y := math.RoundToEven(x/unit) * unit; math.Abs(y) < 0x1p128 {
			return y
		}
		return math.Inf(int(math.Copysign(1, x)))
	case backend.E4M3:
		if x == 0 || math.IsNaN(x) {
			return x
		}
		_, exponent := math.Frexp(x)
		unit := math.Ldexp(1, max(exponent-4, -9))
		return min(max(math.RoundToEven(x/unit)*unit, -448), 448)
	}
	return x
}

type fillSpec struct {
	DType backend.DType
	Value float64
	Shape []int
}

func fillFamily() family {
	var f family
	for _, dt := range []backend.DType{backend.F32, backend.F64, backend.BF16, backend.I32, backend.E4M3} {
		for _, shape := range shapes {
			f.cases = append(f.cases, fillSpec{dt, -3, shape})
		}
	}
	for _, x := range []float64{math.Inf(-1), math.NaN(), 0.1, 1e30} {
		f.cases = append(f.cases, fillSpec{backend.F32, x, []int{9}}, fillSpec{backend.F64, x, []int{9}})
	}
	f.random = func(r *rand.Rand) spec { return fillSpec{backend.DType(r.IntN(4)), 7, randomShape(r, 0)} }
	return f
}

func (c fillSpec) op() string { return "Fill" }

func (c fillSpec) dtype() backend.DType {
	if c.DType == backend.F64 {
		return backend.F64
	}
	return backend.F32
}

func (c fillSpec) build(s *setup) {
	dst := s.operand("Dst", c.DType, free, false, c.Shape)
	s.op = &backend.Fill{Dst: dst.view, Value: c.Value}
	s.want = func() {
		for i := range dst.vals {
			dst.expect(i, rounded(c.DType, c.Value), 0)
		}
	}
}

type iotaSpec struct{ N int }

func iotaFamily() family {
	f := family{random: func(r *rand.Rand) spec { return iotaSpec{size(r, 0)} }}
	for _, n := range edges {
		f.cases = append(f.cases, iotaSpec{n})
	}
	return f
}

func (iotaSpec) op() string           { return "Iota" }
func (iotaSpec) dtype() backend.DType { return backend.F32 }

func (c iotaSpec) build(s *setup) {
	dst := s.writeInts("Dst", free, c.N)
	s.op = &backend.Iota{Dst: dst.view}
	s.want = func() {
		for i := range c.N {
			dst.expect(i, float64(i), 0)
		}
	}
}
