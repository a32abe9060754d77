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

// copied lists the dtypes between which Copy converts.
var copied = []backend.DType{
	backend.F32, backend.F64, backend.BF16, backend.I32, backend.E4M3, backend.E5M2, backend.F16,
}

func copyFamily() family {
	var f family
	for _, dst := range copied {
		for _, src := range copied {
			for _, shape := range [][]int{{0}, {9}, {3, 17}, {2, 3, 4, 5}, {1030}} {
				f.cases = append(f.cases, copySpec{dst, src, shape})
			}
		}
	}
	f.random = func(r *rand.Rand) spec {
		return copySpec{copied[r.IntN(len(copied))], copied[r.IntN(len(copied))], randomShape(r, 0)}
	}
	f.bench = []spec{copySpec{backend.F32, backend.F32, []int{1024, 1024}}}
	for _, dt := range []backend.DType{backend.BF16, backend.E4M3, backend.E5M2, backend.F16} {
		f.bench = append(f.bench, copySpec{dt, backend.F32, []int{1024, 1024}}, copySpec{backend.F32, dt, []int{1024, 1024}})
	}
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
	} else if f, ok := narrowFloats[c.Dst]; ok {
		gen = s.mix(100, append(f.edges(), specials...)...)
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

// narrowFloat describes a floating-point dtype with fewer digits than F32.
type narrowFloat struct {
	digits    int     // significant bits of a normal number
	least     int     // the smallest number is 2^least
	largest   float64 // the largest finite number
	saturates bool    // finite numbers beyond the largest are rounded to it
	infinite  bool    // there are infinities
}

var narrowFloats = map[backend.DType]narrowFloat{
	backend.BF16: {8, -133, 0x1.fep127, false, true},
	backend.F16:  {11, -24, 65504, false, true},
	backend.E4M3: {4, -9, 448, true, false},
	backend.E5M2: {3, -16, 57344, true, true},
}

// edges returns numbers that are hard to round: numbers halfway between two of the dtype,
// with the lower one even and odd; numbers so close to these that F32 does not resolve
// the difference; one that rounds up to a power of 2; numbers below the smallest normal
// one; and numbers near the largest.
func (f narrowFloat) edges() []float64 {
	half, least := math.Ldexp(1, -f.digits), math.Ldexp(1, f.least)
	_, exponent := math.Frexp(f.largest)
	over := f.largest + math.Ldexp(1, exponent-f.digits-1) // halfway to the number after the largest
	return []float64{
		1 + half, 1 + 3*half, -1 - half, 1 + half + 0x1p-40, 1 + 3*half - 0x1p-40, 2 - half/4,
		least / 2, least * 1.5, -least * 2.5, least * 3, least / 4,
		f.largest, -f.largest, over, over * (1 - 0x1p-20), -over * (1 + 0x1p-20), over * 1000,
	}
}

// rounded returns x rounded to dt. To be independent of DType.Put, it rounds to multiples
// of the last digit and does not work on bits.
func rounded(dt backend.DType, x float64) float64 {
	f, narrow := narrowFloats[dt]
	switch {
	case dt == backend.F32:
		return float64(float32(x))
	case dt == backend.I32 && math.IsNaN(x):
		return 0
	case dt == backend.I32:
		return math.Trunc(min(max(x, math.MinInt32), math.MaxInt32))
	case !narrow || x == 0 || math.IsNaN(x) || math.IsInf(x, 0) && f.infinite:
		return x
	}
	_, exponent := math.Frexp(x) // |x| in [2^(exponent−1), 2^exponent)
	unit := math.Ldexp(1, max(exponent-f.digits, f.least))
	y := math.RoundToEven(x/unit) * unit
	switch {
	case math.Abs(y) <= f.largest:
		return y
	case f.saturates:
		return math.Copysign(f.largest, x)
	}
	return math.Inf(int(math.Copysign(1, x)))
}

type fillSpec struct {
	DType backend.DType
	Value float64
	Shape []int
}

func fillFamily() family {
	var f family
	for _, dt := range copied {
		for _, shape := range shapes {
			f.cases = append(f.cases, fillSpec{dt, -3, shape})
		}
	}
	for _, dt := range copied {
		for _, x := range []float64{math.Inf(-1), math.NaN(), 0.1, 1e30} {
			f.cases = append(f.cases, fillSpec{dt, x, []int{9}})
		}
	}
	f.bench = []spec{fillSpec{backend.F32, 1, []int{1024, 1024}}}
	f.random = func(r *rand.Rand) spec { return fillSpec{copied[r.IntN(len(copied))], 7, randomShape(r, 0)} }
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
	f.bench = []spec{iotaSpec{1 << 20}}
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
