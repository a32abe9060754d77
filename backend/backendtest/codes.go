package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// codesSpec packs a matrix of integers with separate scales and, if the format has them,
// minimums, in one or two parts, and unpacks it. The values must not change.
type codesSpec struct {
	Format backend.Format
	Shape  []int
	Cut    int // column at which packing is split in two parts; if 0, it is not split
}

func codesFamily() family {
	var integers []backend.Format
	for _, f := range formats {
		if !f.Element.IsFloat() {
			integers = append(integers, f)
		}
	}
	f := family{random: func(r *rand.Rand) spec {
		return codesSpec{Format: integers[r.IntN(len(integers))], Shape: []int{1 + size(r, 0), 1 + size(r, 0)}}
	}}
	for _, format := range integers {
		for _, shape := range [][]int{{0, 3}, {1, 1}, {32, 16}, {33, 17}, {65, 97}, {64, 130}, {3, 40, 20}} {
			f.cases = append(f.cases, codesSpec{Format: format, Shape: shape})
		}
		f.cases = append(f.cases, codesSpec{Format: format, Shape: []int{96, 300}, Cut: 128},
			codesSpec{Format: format, Shape: []int{2, 5, 256}, Cut: 128})
	}
	return f
}

func (codesSpec) op() string { return "Unpack" }

func (codesSpec) dtype() backend.DType { return backend.F32 }

func (c codesSpec) build(s *setup) {
	f := c.Format
	r := len(c.Shape)
	k, n, batch := c.Shape[r-2], c.Shape[r-1], c.Shape[:r-2]
	down := (k + int(f.BlockK) - 1) / int(f.BlockK)
	dims := func(columns, rows int) []int { return append(append([]int(nil), batch...), columns, rows) }
	bits := int(f.Width)
	if bits == 0 {
		bits = 8 * f.Element.Size()
	}
	count, least := 1<<bits, -1<<(bits-1)
	if f.Min {
		least = 0
	}
	codes := s.operand("Src codes", f.Element, flat, false, dims(n, k)).store(func(int) float64 {
		return float64(least + s.rng.IntN(count))
	})
	scales := s.operand("Src scales", f.Scale, flat, false, dims(n, down)).store(s.normal(1))
	src := backend.Matrix{Data: codes.view.T(), Scale: scales.view.T(), Format: f}
	var minimums *operand
	if f.Min {
		minimums = s.operand("Src minimums", f.Scale, flat, false, dims(n, down)).store(s.normal(1))
		src.Min = minimums.view.T()
	}
	// s.matrix makes the packed matrix; one Pack for each part replaces its own.
	values := backend.NewView(nil, backend.F32, c.Shape...)
	packed := s.matrix(values, true, f)
	s.prelude = s.prelude[:len(s.prelude)-1]
	parts := [][2]int{{0, n}}
	if c.Cut > 0 {
		parts = [][2]int{{c.Cut, n}, {0, c.Cut}}
	}
	for _, part := range parts {
		cut := src
		cut.Data, cut.Scale = src.Data.Slice(-1, part[0], part[1]), src.Scale.Slice(-1, part[0], part[1])
		if f.Min {
			cut.Min = src.Min.Slice(-1, part[0], part[1])
		}
		s.prelude = append(s.prelude, &backend.Pack{Dst: packed, Src: cut, Column: part[0]})
	}
	out := s.write("Dst", free, c.Shape...)
	s.op = &backend.Unpack{Dst: out.view, Src: packed}
	s.want = func() {
		for i := range out.vals {
			e, p, j := i/(k*n), i/n%k, i%n
			block := (e*n+j)*down + p/int(f.BlockK)
			value := codes.vals[(e*n+j)*k+p] * scales.vals[block]
			if f.Min { // the product and the sum may be fused
				least := minimums.vals[block]
				out.expect(i, value+least, math.Abs(value)+math.Abs(least))
			} else {
				out.expect(i, value, 0)
			}
		}
	}
}
