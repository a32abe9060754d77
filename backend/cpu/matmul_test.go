package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// strew returns a view of the given layout that holds the matrix x [M, N].
func strew[T number | uint16](b *CPU, x []T, m, n int, layout string) backend.View {
	var v backend.View
	switch layout {
	case "rows":
		return filled(b, x, m, n)
	case "columns":
		v = filled(b, make([]T, m*n), n, m).T()
	case "wide rows":
		v = filled(b, make([]T, m*(n+3)), m, n+3).Slice(1, 2, n+2)
	case "every third":
		v = filled(b, make([]T, m*n*3+1), m, n, 3).Slice(2, 1, 2)
		v.Rank = 2
	}
	to := data[T](&v)
	for i := range m {
		for j := range n {
			to[i*v.Strides[0]+j*v.Strides[1]] = x[i*n+j]
		}
	}
	return v
}

var layouts = []string{"rows", "columns", "wide rows", "every third"}

func TestMatMulIsOneAscendingChainInEveryLayout(t *testing.T) {
	t.Run("F32", testMatMulLayouts[float32])
	t.Run("F64", testMatMulLayouts[float64])
}

func testMatMulLayouts[T number](t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	for _, s := range [][3]int{{1, 1, 1}, {1, 70, 33}, {7, 17, 16}, {20, 65, 401}, {60, 100, 9}, {5, 1, 20}, {3, 4, 0}} {
		m, n, k := s[0], s[1], s[2]
		a, w, c0 := normals[T](rng, m*k), normals[T](rng, k*n), normals[T](rng, m*n)
		for _, accumulate := range []bool{false, true} {
			var want []T
			for _, la := range layouts {
				for _, lb := range append(layouts, "packed") {
					for _, lc := range layouts {
						name := fmt.Sprintf("[%d %d %d] A by %s, B by %s, C by %s, accumulate %t", m, n, k, la, lb, lc, accumulate)
						matrix := backend.MatrixOf(strew(b, w, k, n, "rows"))
						if lb == "packed" {
							matrix = packed(t, b, matrix.Data)
						} else {
							matrix.Data = strew(b, w, k, n, lb)
						}
						op := &backend.MatMul{C: strew(b, c0, m, n, lc), A: strew(b, a, m, k, la), B: matrix, Accumulate: accumulate}
						do(t, b, op)
						got := content[T](op.C)
						if want == nil {
							want = got
							nearProduct(t, name, got, a, w, c0, m, n, k, accumulate)
						}
						sameBits(t, name, got, want)
					}
				}
			}
		}
	}
}

// nearProduct compares got with the product in float64, within the rounding
// error of K additions. In float64 it computes the same chain, so got must be
// equal.
func nearProduct[T number](t *testing.T, name string, got, a, w, c0 []T, m, n, k int, accumulate bool) {
	t.Helper()
	ulp := 0x1p-24
	if _, ok := any(T(0)).(float64); ok {
		ulp = 0
	}
	for i := range m {
		for j := range n {
			var sum, size float64
			if accumulate {
				sum = float64(c0[i*n+j])
				size = math.Abs(sum)
			}
			for p := range k {
				x := float64(a[i*k+p]) * float64(w[p*n+j])
				sum += float64(x)
				size += math.Abs(x)
			}
			if math.Abs(float64(got[i*n+j])-sum) > ulp*float64(k+2)*size {
				t.Fatalf("%s: element (%d, %d) is %v, want %v", name, i, j, got[i*n+j], sum)
			}
		}
	}
}

func packed(t testing.TB, b *CPU, src backend.View) backend.Matrix {
	t.Helper()
	k, n := src.Dim(-2), src.Dim(-1)
	_, size := b.PackedLen(backend.Native, src.DType, k, n)
	shape := append(src.Dims()[:src.Rank-2], size)
	count := size
	for _, e := range shape[:len(shape)-1] {
		count *= e
	}
	buf, err := b.Alloc(count * src.DType.Size())
	if err != nil {
		t.Fatal(err)
	}
	dst := backend.NewView(buf, src.DType, shape...)
	m := backend.Matrix{Data: dst, Layout: backend.Packed, K: k, N: n}
	do(t, b, &backend.Pack{Dst: m, Src: backend.MatrixOf(src)})
	return m
}

func TestMatMulRowHasTheSameBitsAloneAndAmongAThousand(t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	const m, n, k = 1000, 150, 700
	a, w := filled(b, normals[float32](rng, m*k), m, k), filled(b, normals[float32](rng, k*n), k, n)
	all, one := filled(b, make([]float32, m*n), m, n), filled(b, make([]float32, n), 1, n)
	do(t, b, &backend.MatMul{C: all, A: a, B: backend.MatrixOf(w)})
	for _, i := range []int{0, 1, 5, 6, 191, 192, 500, 997, 999} {
		do(t, b, &backend.MatMul{C: one, A: a.Slice(0, i, i+1), B: packed(t, b, w)})
		sameBits(t, fmt.Sprintf("row %d", i), content[float32](one), content[float32](all.Slice(0, i, i+1)))
	}
}

func TestMatMulAccumulateContinuesTheChain(t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	const m, n, k = 33, 50, 900
	a, w := filled(b, normals[float32](rng, m*k), m, k), filled(b, normals[float32](rng, k*n), k, n)
	whole, parts := filled(b, make([]float32, m*n), m, n), filled(b, make([]float32, m*n), m, n)
	do(t, b, &backend.MatMul{C: whole, A: a, B: backend.MatrixOf(w)})
	cuts := []int{0, 1, 385, 512, k}
	for i, from := range cuts[:len(cuts)-1] {
		to := cuts[i+1]
		do(t, b, &backend.MatMul{C: parts, A: a.Slice(1, from, to), B: backend.MatrixOf(w.Slice(0, from, to)),
			Accumulate: i > 0})
	}
	sameBits(t, "product in four parts", content[float32](parts), content[float32](whole))
}

func TestMatMulBatchIsItsMatrices(t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	const e0, e1, m, n, k = 2, 3, 9, 20, 31
	a := filled(b, normals[float32](rng, e0*e1*m*k), e0, m, e1, k).Permute(0, 2, 1, 3)
	w := filled(b, normals[float32](rng, e0*n*k), e0, 1, n, k).BroadcastTo(e0, e1, n, k).T()
	c := filled(b, make([]float32, e0*e1*m*n), e0, e1, m, n)
	do(t, b, &backend.MatMul{C: c, A: a, B: backend.MatrixOf(w)})
	one := filled(b, make([]float32, m*n), m, n)
	for i := range e0 {
		for j := range e1 {
			do(t, b, &backend.MatMul{C: one, A: a.Index(i).Index(j), B: backend.MatrixOf(w.Index(i).Index(j))})
			sameBits(t, fmt.Sprintf("matrix (%d, %d)", i, j), content[float32](c.Index(i).Index(j)), content[float32](one))
		}
	}
	w3 := filled(b, normals[float32](rng, e0*k*n), e0, k, n)
	c3 := filled(b, make([]float32, e0*m*n), e0, m, n)
	do(t, b, &backend.MatMul{C: c3, A: a.Permute(1, 0, 2, 3).Index(1), B: packed(t, b, w3)})
	for i := range e0 {
		do(t, b, &backend.MatMul{C: one, A: a.Index(i).Index(1), B: backend.MatrixOf(w3.Index(i))})
		sameBits(t, fmt.Sprintf("packed matrix %d", i), content[float32](c3.Index(i)), content[float32](one))
	}
}

// The shape, the number of threads and the memory for panels determine how a
// product is split by rows, columns and blocks of K. The reference is one call
// of the kernel.
func TestHowAProductIsCutDoesNotChangeItsBits(t *testing.T) {
	rng := newRand(t)
	for _, s := range [][3]int{{1, 700, 1000}, {20, 1300, 900}, {100, 130, 800}, {400, 70, 450}, {700, 500, 100},
		{manyRows, 130, maxShared/100 + 1}} {
		m, n, k := s[0], s[1], s[2]
		accumulate := m%2 == 0
		serial := withWorkers(t, 1)
		x := normals[float32](rng, k+n)
		w := filled(serial, x, k+n).Slice(0, 0, n).Unsqueeze(0)
		w.Shape[0], w.Strides[0] = k, 1 // w[p, j] = x[p+j]
		a := normals[float32](rng, min(m*k, 1<<20)+k)
		left := filled(serial, a, len(a)).Slice(0, 0, k).Unsqueeze(0)
		left.Shape[0], left.Strides[0] = m, min(k, (1<<20)/m)
		start := normals[float32](rng, m*n)

		panels, want := make([]float32, asm.PackedSize(k, n)), slices.Clone(start)
		packPanels(panels, x, k, n, 1, 1)
		gemmPacked(m, n, k, a, left.Strides[0], 1, panels, want, n, accumulate)
		for _, workers := range []int{1, 2, 3} {
			b := withWorkers(t, workers)
			for _, matrix := range []backend.Matrix{backend.MatrixOf(w), {Data: filled(b, panels, len(panels)),
				Layout: backend.Packed, K: k, N: n}} {
				c := filled(b, start, m, n)
				do(t, b, &backend.MatMul{C: c, A: left, B: matrix, Accumulate: accumulate})
				sameBits(t, fmt.Sprintf("%v, layout %d, %d workers", s, matrix.Layout, workers), content[float32](c), want)
			}
		}
	}
}

func TestGroupedProductsOfEverySizeAreTheirGroupsMatMuls(t *testing.T) {
	b, rng := withWorkers(t, 3), newRand(t)
	const e, k, n = 4, 500, 700
	groups := []int32{0, 3, 3, 390, 400} // all groups but one are small
	m := int(groups[e])
	offsets := filled(b, groups, e+1)
	a, w := filled(b, normals[float32](rng, m*k), m, k), filled(b, normals[float32](rng, e*k*n), e, k, n)
	c, dw := filled(b, make([]float32, m*n), m, n), filled(b, make([]float32, e*k*n), e, k, n)
	do(t, b, &backend.GroupedMatMul{C: c, A: a, B: backend.MatrixOf(w), Offsets: offsets})
	do(t, b, &backend.GroupedOuter{C: dw, A: a, B: c, Offsets: offsets})
	one := withWorkers(t, 1)
	for i := range e {
		lo, hi := int(groups[i]), int(groups[i+1])
		x, y := a.Slice(0, lo, hi), c.Slice(0, lo, hi)
		want, wantW := filled(b, make([]float32, (hi-lo)*n), hi-lo, n), filled(b, make([]float32, k*n), k, n)
		do(t, one, &backend.MatMul{C: want, A: x, B: backend.MatrixOf(w.Index(i))})
		do(t, one, &backend.MatMul{C: wantW, A: x.T(), B: backend.MatrixOf(y)})
		sameBits(t, fmt.Sprintf("product of group %d", i), content[float32](y), content[float32](want))
		sameBits(t, fmt.Sprintf("gradient of group %d", i), content[float32](dw.Index(i)), content[float32](wantW))
	}
}

// The threads wait for each other's panels. If one panics, the others must not
// wait forever.
func TestMatMulThatFailsWhilePackingPanics(t *testing.T) {
	b := withWorkers(t, 2)
	const m, n, k = 2 * manyRows, 100, 200
	a, c := filled(b, make([]float32, m*k), m, k), filled(b, make([]float32, m*n), m, n)
	w := filled(b, make([]float32, k*n), k, n)
	op := &backend.MatMul{C: c, A: a, B: backend.MatrixOf(w)}
	do(t, b, op)
	b.Free(w.Buf)
	panics(t, func() { b.Do(op) }, "")
}

func TestGroupedOpsAreTheirGroupsMatMuls(t *testing.T) {
	t.Run("F32", testGrouped[float32])
	t.Run("F64", testGrouped[float64])
}

func testGrouped[T number](t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	for _, groups := range [][]int32{{0, 0, 1, 60, 60, 200}, {0, 1, 2, 2, 3, 4}, {0, 0, 0, 0, 0, 0}, {2, 2, 5, 5, 5, 9}} {
		const m, k, n, e = 205, 40, 70, 5
		offsets := filled(b, groups, e+1)
		a, w := filled(b, normals[T](rng, m*k), m, k), filled(b, normals[T](rng, e*n*k), e, n, k).T()
		untouched := normals[T](rng, m*n)
		for _, matrix := range []backend.Matrix{backend.MatrixOf(w), packed(t, b, w)} {
			for _, lc := range layouts {
				c := strew(b, untouched, m, n, lc)
				do(t, b, &backend.GroupedMatMul{C: c, A: a, B: matrix, Offsets: offsets})
				want := strew(b, untouched, m, n, "rows")
				for i := range e {
					lo, hi := int(groups[i]), int(groups[i+1])
					do(t, b, &backend.MatMul{C: want.Slice(0, lo, hi), A: a.Slice(0, lo, hi), B: backend.MatrixOf(w.Index(i))})
				}
				sameBits(t, fmt.Sprintf("GroupedMatMul %v, layout %d, C by %s", groups, matrix.Layout, lc), content[T](c),
					content[T](want))
			}
		}
		dy := filled(b, normals[T](rng, m*n), m, n)
		start := normals[T](rng, e*k*n)
		for _, transposed := range []bool{false, true} {
			got, want := filled(b, start, e, k, n), filled(b, start, e, k, n)
			x, y := a, dy
			if transposed {
				got, want = filled(b, start, e, n, k), filled(b, start, e, n, k)
				x, y = dy, a
			}
			do(t, b, &backend.GroupedOuter{C: got, A: x, B: y, Offsets: offsets})
			for i := range e {
				lo, hi := int(groups[i]), int(groups[i+1])
				do(t, b, &backend.MatMul{C: want.Index(i), A: x.Slice(0, lo, hi).T(), B: backend.MatrixOf(y.Slice(0, lo, hi)),
					Accumulate: true})
			}
			sameBits(t, fmt.Sprintf("GroupedOuter %v", groups), content[T](got), content[T](want))
		}
	}
}

// If all threads pack the right operand of a single group together, they must
// pack the rows of the group, not all rows of the op.
func TestGroupedOuterOfOneGroupTakesItsRowsAlone(t *testing.T) {
	const m, p, q = 315, 179, 70
	for _, workers := range []int{1, 2, 5} {
		b, rng := withWorkers(t, workers), newRand(t)
		x, y := filled(b, normals[float32](rng, m*p), m, p), filled(b, normals[float32](rng, m*q), m, q)
		for _, rows := range [][]int32{{0, m}, {0, 234}, {40, 234}, {40, m}} {
			got, want := filled(b, make([]float32, p*q), 1, p, q), filled(b, make([]float32, p*q), p, q)
			lo, hi := int(rows[0]), int(rows[1])
			do(t, b, &backend.GroupedOuter{C: got, A: x, B: y, Offsets: filled(b, rows, 2)})
			do(t, b, &backend.MatMul{C: want, A: x.Slice(0, lo, hi).T(), B: backend.MatrixOf(y.Slice(0, lo, hi))})
			sameBits(t, fmt.Sprintf("rows %v, %d workers", rows, workers), content[float32](got), content[float32](want))
		}
	}
}

func TestMatrixOpsPanicWithTheirNameOnBadOperands(t *testing.T) {
	b := withWorkers(t, 1)
	x := func(shape ...int) backend.View {
		n := 1
		for _, s := range shape {
			n *= s
		}
		return filled(b, make([]float32, n), shape...)
	}
	panics(t, func() { b.Do(&backend.MatMul{C: x(2, 3), A: x(2, 4), B: backend.MatrixOf(x(5, 3))}) }, "MatMul", "[2 4]",
		"[5 3]")
	panics(t, func() {
		b.Do(&backend.MatMul{C: x(2, 3), A: x(2, 4), B: backend.Matrix{Data: x(4 * 3), Layout: backend.Packed, K: 4, N: 3}})
	}, "MatMul", "64")
	panics(t, func() {
		b.Do(&backend.Pack{Dst: backend.Matrix{Data: x(4 * 3), Layout: backend.Packed, K: 4, N: 3},
			Src: backend.MatrixOf(x(4, 3))})
	}, "Pack", "64")
	for _, groups := range [][]int32{{0, 3, 2}, {-1, 0, 2}, {0, 1, 5}} {
		offsets := filled(b, groups, 3)
		panics(t, func() {
			b.Do(&backend.GroupedMatMul{C: x(4, 3), A: x(4, 2), B: backend.MatrixOf(x(2, 2, 3)), Offsets: offsets})
		}, "GroupedMatMul", "Offsets")
		panics(t, func() { b.Do(&backend.GroupedOuter{C: x(2, 2, 3), A: x(4, 2), B: x(4, 3), Offsets: offsets}) },
			"GroupedOuter", "Offsets")
	}
	panics(t, func() { b.Do(&backend.Softmax{Y: x(), X: x()}) }, "Softmax")
	panics(t, func() { b.Do(&backend.Unary{Y: x(2), X: x(3), Fn: backend.Log}) }, "Log", "[3]")
}
