package cpu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// formats are all formats except Native.
var formats = backend.Formats()[1:]

// packedAs returns src packed in format f.
func packedAs(t testing.TB, b *CPU, f backend.Format, src backend.View) backend.Matrix {
	t.Helper()
	k, n := src.Dim(-2), src.Dim(-1)
	dt, size := b.PackedLen(f, src.DType, k, n)
	dst := backend.NewView(nil, dt, append(src.Dims()[:src.Rank-2], size)...)
	buf, err := b.Alloc(dst.Len() * dt.Size())
	if err != nil {
		t.Fatal(err)
	}
	dst.Buf = buf
	m := backend.Matrix{Data: dst, Layout: backend.Packed, Format: f, K: k, N: n}
	do(t, b, &backend.Pack{Dst: m, Src: backend.MatrixOf(src)})
	return m
}

// The product of a row has the same bits whether computed alone or with others,
// for any number of threads, layout and initial value.
func TestFormatProductRowsDoNotDependOnWhatIsComputedBesideThem(t *testing.T) {
	const m = 200
	for _, s := range [][2]int{{96, 17}, {333, 300}, {1030, 70}} {
		k, n := s[0], s[1]
		for _, f := range formats {
			rng := newRand(t)
			a, w, c0 := normals[float32](rng, m*k), normals[float32](rng, k*n), normals[float32](rng, m*n)
			for _, accumulate := range []bool{false, true} {
				one := withWorkers(t, 1)
				matrix, want := packedAs(t, one, f, filled(one, w, k, n)), slices.Clone(c0)
				for i := range m {
					row := filled(one, c0[i*n:][:n], 1, n)
					do(t, one, &backend.MatMul{C: row, A: filled(one, a[i*k:][:k], 1, k), B: matrix, Accumulate: accumulate})
					copy(want[i*n:], content[float32](row))
				}
				for _, workers := range []int{1, 2, 3} {
					b := withWorkers(t, workers)
					matrices := []backend.Matrix{
						packedAs(t, b, f, strew(b, w, k, n, "columns")), {Data: strew(b, w, k, n, "wide rows"), Format: f},
					}
					for i, layout := range layouts {
						for _, matrix := range matrices {
							c := strew(b, c0, m, n, layout)
							do(t, b, &backend.MatMul{C: c, A: strew(b, a, m, k, layouts[(i+1)%len(layouts)]), B: matrix,
								Accumulate: accumulate})
							sameBits(t, fmt.Sprintf("%s [%d %d %d], layout %d, C by %s, accumulate %t, %d workers", f, m, k, n,
								matrix.Layout, layout, accumulate, workers), content[float32](c), want)
						}
					}
				}
			}
		}
	}
}

func TestFormatGroupedProductsAreTheirGroupsMatMuls(t *testing.T) {
	const e, m, n = 5, 205, 70
	for _, k := range []int{0, 70, 257} {
		for _, groups := range [][]int32{{0, 0, 1, 60, 60, m}, {0, 0, 0, 0, 0, 0}, {2, 2, 5, 5, 5, 9}} {
			for _, f := range formats {
				for _, workers := range []int{1, 2, 3} {
					b, rng := withWorkers(t, workers), newRand(t)
					a, w := filled(b, normals[float32](rng, m*k), m, k), filled(b, normals[float32](rng, e*n*k), e, n, k).T()
					untouched, offsets := normals[float32](rng, m*n), filled(b, groups, e+1)
					c, want := strew(b, untouched, m, n, "every third"), filled(b, untouched, m, n)
					matrix := packedAs(t, b, f, w)
					do(t, b, &backend.GroupedMatMul{C: c, A: a, B: matrix, Offsets: offsets})
					for i := range e {
						lo, hi := int(groups[i]), int(groups[i+1])
						one := matrix
						one.Data = matrix.Data.Index(i)
						do(t, b, &backend.MatMul{C: want.Slice(0, lo, hi), A: a.Slice(0, lo, hi), B: one})
					}
					sameBits(t, fmt.Sprintf("%s %v, K %d, %d workers", f, groups, k, workers), content[float32](c),
						content[float32](want))
				}
			}
		}
	}
}

func TestFormatProductsAllocateNothingInTheSteadyState(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector, sync.Pool drops items at random")
	}
	b, rng := withWorkers(t, 2), newRand(t)
	const e, k, n = 3, 320, 700
	w := filled(b, normals[float32](rng, e*k*n), e, k, n)
	for _, f := range formats {
		stack := packedAs(t, b, f, w)
		single := packedAs(t, b, f, w.Index(0))
		for _, m := range []int{1, 64} {
			a, c := filled(b, normals[float32](rng, m*k), m, k), filled(b, make([]float32, m*n), m, n)
			product := &backend.MatMul{C: c, A: a, B: single}
			grouped := &backend.GroupedMatMul{C: c, A: a, B: stack, Offsets: filled(b, []int32{0, int32(m / 2), int32(m / 2),
				int32(m)}, e+1)}
			lookup := &backend.Unpack{Dst: filled(b, make([]float32, m*k), m, k).T(), Src: single, Index: filled(b,
				make([]int32, m), m)}
			ops := []backend.Op{product, grouped, lookup}
			if f == backend.FP8 {
				scaled := *lookup
				scaled.Src = scaledAs(t, b, w.Index(0), false)
				ops = append(ops, &scaled)
			}
			across := filled(b, normals[float32](rng, m*k), k, m).T()
			strided := backend.Matrix{Data: w.Index(0), Format: f}
			ops = append(ops, &backend.MatMul{C: c, A: a, B: strided}, &backend.MatMul{C: c, A: across, B: strided})
			const experts, width = 20, 64 // units pack their own columns
			ops = append(ops, &backend.GroupedMatMul{C: filled(b, make([]float32, m*width), m, width), A: a, B: backend.Matrix{
				Data: filled(b, make([]float32, experts*k*width), experts, k, width), Format: f}, Offsets: filled(b,
				ascending(experts+1, m), experts+1)})
			for i, op := range ops {
				if got := testing.AllocsPerRun(20, func() { do(t, b, op) }); got > 0 {
					t.Errorf("%s, M = %d, op %d: %v allocations a run", f, m, i, got)
				}
			}
		}
	}
}

// ascending returns n offsets from 0 to end, evenly spaced.
func ascending(n, end int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(i * end / (n - 1))
	}
	return x
}

func TestFormatOpsPanicWithTheirNameOnBadOperands(t *testing.T) {
	b := withWorkers(t, 1)
	w := filled(b, make([]float32, 64*16), 64, 16)
	a, c := filled(b, make([]float32, 64), 1, 64), filled(b, make([]float32, 16), 1, 16)
	matrix := packedAs(t, b, backend.Q8, w)
	other, impossible, unknown := matrix, matrix, matrix
	other.Format, impossible.Format.BlockN, unknown.Format.BlockK = backend.Q4, 0, 64
	panics(t, func() { b.Do(&backend.MatMul{C: c, A: a, B: other}) }, "MatMul", "q4")
	panics(t, func() { b.Do(&backend.MatMul{C: c, A: a, B: impossible}) }, "MatMul", "blocks of 32×0 elements")
	panics(t, func() { b.Do(&backend.Pack{Dst: other, Src: backend.MatrixOf(w)}) }, "Pack", "q4")
	panics(t, func() { b.Do(&backend.Pack{Dst: matrix, Src: matrix}) }, "Pack", "packed already")
	panics(t, func() { b.Do(&backend.Pack{Dst: matrix, Src: backend.MatrixOf(w), Column: 8}) }, "Pack", "[8:24]")
	for _, op := range []backend.Op{
		&backend.MatMul{C: c, A: a, B: unknown}, &backend.Pack{Dst: unknown, Src: backend.MatrixOf(w)},
		&backend.Unpack{Dst: w, Src: unknown},
	} {
		if err := b.Do(op); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "BlockK:64") {
			t.Errorf("%s in a format without kernels: error %v", op.Name(), err)
		}
	}
	matrix.State = &backend.PackState{Weights: 2, Copy: 1}
	panics(t, func() { b.Do(&backend.MatMul{C: c, A: a, B: matrix}) }, "MatMul", "version 1")
	panics(t, func() { b.Do(&backend.Unpack{Dst: w, Src: matrix}) }, "Unpack", "version 1")
}

// A product with integer codes and separate scales has the bits of the product
// with the matrix that Pack makes of them.
func TestProductsWithIntegersApartAreThoseWithThePackedMatrix(t *testing.T) {
	rng := newRand(t)
	b := withWorkers(t, 2)
	const m, k, n = 5, 70, 150
	a := filled(b, normals[float32](rng, m*k), m, k)
	for _, f := range []backend.Format{backend.Q8, backend.Q4, backend.Q4_1} {
		codes, halves := make([]uint8, n*k), func() []uint16 {
			x := make([]uint16, n*3)
			for i := range x {
				x[i] = uint16(rng.IntN(0x7c00)) | uint16(rng.IntN(2))<<15
			}
			return x
		}
		for i := range codes {
			codes[i] = uint8(rng.IntN(16))
		}
		apart := backend.Matrix{Data: filled(b, codes, n, k).T(), Scale: filled(b, halves(), n, 3).T(), Format: f}
		apart.Scale.DType = backend.F16
		if f.Min {
			apart.Min = filled(b, halves(), n, 3).T()
			apart.Min.DType = backend.F16
		}
		_, size := b.PackedLen(f, backend.F32, k, n)
		packed := backend.Matrix{Data: filled(b, make([]uint8, size), size), Layout: backend.Packed, Format: f, K: k, N: n}
		do(t, b, &backend.Pack{Dst: packed, Src: apart})
		got, want := filled(b, make([]float32, m*n), m, n), filled(b, make([]float32, m*n), m, n)
		do(t, b, &backend.MatMul{C: got, A: a, B: apart})
		do(t, b, &backend.MatMul{C: want, A: a, B: packed})
		sameBits(t, f.String(), data[float32](&got), data[float32](&want))
		for _, op := range []backend.Op{
			&backend.Unpack{Dst: filled(b, make([]float32, k*n), k, n), Src: apart},
			&backend.Pack{Dst: apart, Src: backend.MatrixOf(filled(b, make([]float32, k*n), k, n))},
		} {
			if err := b.Do(op); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "separate scales") {
				t.Errorf("%s of %s with separate scales: error %v", op.Name(), f, err)
			}
		}
	}
}
