package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/aha-go/aha/backend"
)

// scaledAs returns src in FP8 with separate scales. Codes and scales start at
// an offset in their buffers and are stored by rows or, as in checkpoints, by
// columns.
func scaledAs(t testing.TB, b *CPU, src backend.View, byRows bool) backend.Matrix {
	t.Helper()
	f := backend.FP8
	view := func(dt backend.DType, rows, columns int) backend.View {
		shape := append(src.Dims()[:src.Rank-2], columns, rows)
		if byRows {
			shape[len(shape)-2], shape[len(shape)-1] = rows, columns
		}
		v := backend.NewView(nil, dt, shape...)
		v.Offset = 3
		buf, err := b.Alloc((v.Len() + v.Offset) * dt.Size())
		if err != nil {
			t.Fatal(err)
		}
		if v.Buf = buf; byRows {
			return v
		}
		return v.T()
	}
	k, n := src.Dim(-2), src.Dim(-1)
	m := backend.Matrix{
		Data: view(f.Element, k, n), Scale: view(f.Scale, ceil(k, int(f.BlockK)), ceil(n, int(f.BlockN))), Format: f,
	}
	do(t, b, &backend.Pack{Dst: m, Src: backend.MatrixOf(src)})
	return m
}

// Products with an FP8 matrix have the same bits in all its forms as with its
// values, even with NaN and infinities among the weights, and so do its
// conversions from one form to another.
func TestFormsOfAnFP8MatrixAgree(t *testing.T) {
	rng := newRand(t)
	const m = 5
	for _, shape := range [][]int{{1, 1}, {127, 129}, {257, 300}, {5, 1, 17}, {2, 130, 33}, {0, 5}, {5, 0}, {0, 7, 7}} {
		k, n, batch := shape[len(shape)-2], shape[len(shape)-1], shape[:len(shape)-2]
		dims := func(rows, columns int) []int { return append(append([]int(nil), batch...), rows, columns) }
		size := func(rows, columns int) int {
			v := backend.NewView(nil, backend.F32, dims(rows, columns)...)
			return v.Len()
		}
		w, a := normals[float32](rng, size(k, n)), normals[float32](rng, size(m, k))
		for range len(w) / 300 {
			odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e38, 1e-44}
			w[rng.IntN(len(w))] = float32(odd[rng.IntN(len(odd))])
		}
		for workers := 1; workers <= 3; workers++ {
			b := withWorkers(t, workers)
			src, rows := filled(b, w, shape...), filled(b, a, dims(m, k)...)
			product := func(matrix backend.Matrix) []float32 {
				c := filled(b, make([]float32, size(m, n)), dims(m, n)...)
				do(t, b, &backend.MatMul{C: c, A: rows, B: matrix})
				return content[float32](c)
			}
			values := func(matrix backend.Matrix) []float32 {
				dst := filled(b, make([]float32, size(k, n)), shape...)
				do(t, b, &backend.Unpack{Dst: dst, Src: matrix})
				return content[float32](dst)
			}
			packed := packedAs(t, b, backend.FP8, src)
			for _, byRows := range []bool{false, true} {
				scaled, copied := scaledAs(t, b, src, byRows), packedAs(t, b, backend.FP8, src)
				moved := scaledAs(t, b, src, !byRows)
				for _, v := range []backend.View{copied.Data, moved.Data, moved.Scale} {
					clear(memory(v))
				}
				do(t, b, &backend.Pack{Dst: copied, Src: scaled})
				do(t, b, &backend.Pack{Dst: moved, Src: scaled})
				for i, matrix := range []backend.Matrix{scaled, copied, moved} {
					name := fmt.Sprintf("%v, form %d by rows %t, %d workers: ", shape, i, byRows, workers)
					sameBits(t, name+"product", product(matrix), product(packed))
					sameBits(t, name+"values", values(matrix), values(packed))
					if n == 0 || len(batch) > 0 {
						continue
					}
					index := filled(b, []int32{int32(n - 1), -1, 0}, 3)
					some, want := filled(b, make([]float32, 3*k), 3, k).T(), filled(b, make([]float32, 3*k), k, 3)
					do(t, b, &backend.Unpack{Dst: some, Src: matrix, Index: index})
					do(t, b, &backend.Unpack{Dst: want, Src: packed, Index: index})
					sameBits(t, name+"columns", content[float32](some), content[float32](want))
				}
			}
		}
	}
}

// A batch may consist of one matrix repeated with different scales.
func TestRepeatedElementsKeepTheirScales(t *testing.T) {
	rng := newRand(t)
	const m, k, n = 3, 130, 20
	b := withWorkers(t, 2)
	matrix := scaledAs(t, b, filled(b, normals[float32](rng, k*n), k, n), true)
	matrix.Scale = filled(b, []float32{1, 2, 10, 20}, 2, 2, 1)
	matrix.Data.Rank, matrix.Data.Shape, matrix.Data.Strides = 3, [4]int{2, k, n}, [4]int{0, n, 1}
	a := filled(b, normals[float32](rng, 2*m*k), 2, m, k)
	c, want := filled(b, make([]float32, 2*m*n), 2, m, n), filled(b, make([]float32, 2*m*n), 2, m, n)
	do(t, b, &backend.MatMul{C: c, A: a, B: matrix})
	for i := range 2 {
		do(t, b, &backend.MatMul{C: want.Index(i), A: a.Index(i), B: matrix.Index(i)})
	}
	sameBits(t, "products", content[float32](c), content[float32](want))
}
