package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestReduceInEveryLayout(t *testing.T) {
	t.Run("F32", testReduce[float32])
	t.Run("F64", testReduce[float64])
}

func testReduce[T number](t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	for _, n := range []int{0, 1, 31, 33, reduceChunk - 1, reduceChunk, reduceChunk + 1, 3*reduceChunk + 5} {
		const m = 5
		x := normals[T](rng, m*n)
		for _, fn := range []backend.ReduceFn{backend.Sum, backend.SumSquares, backend.ReduceMax} {
			var first []T
			for _, layout := range layouts {
				y := filled(b, make([]T, 2*m), m, 2).T().Index(1)
				do(t, b, &backend.Reduce{Y: y, X: strew(b, x, m, n, layout), Fn: fn})
				got := content[T](y)
				if first == nil {
					first = got
				}
				sameBits(t, fmt.Sprintf("%v of %d by %s", fn, n, layout), got, first)
			}
			for i := range m {
				row := x[i*n:][:n]
				one := filled(b, make([]T, 1))
				do(t, b, &backend.Reduce{Y: one, X: filled(b, row, n), Fn: fn})
				sameBits(t, fmt.Sprintf("%v of row %d alone", fn, i), content[T](one), first[i:i+1])
				want, size := 0., 0.
				if fn == backend.ReduceMax {
					want = math.Inf(-1)
				}
				for _, v := range row {
					f := float64(v)
					switch fn {
					case backend.Sum:
						want += f
					case backend.SumSquares:
						want += f * f
					default:
						want = max(want, f)
					}
					size += math.Abs(f) + f*f
				}
				if math.Abs(float64(first[i])-want) > 1e-6*size {
					t.Errorf("%v of %d: %v, want %v", fn, n, first[i], want)
				}
			}
		}
	}
}

func TestReduceMaxKeepsNaN(t *testing.T) {
	b := withWorkers(t, 1)
	for _, n := range []int{3, reduceChunk + 3} {
		for _, at := range []int{0, 1, n - 1} {
			x := make([]float32, n)
			x[at] = float32(math.NaN())
			y := filled(b, make([]float32, 1), 1)
			do(t, b, &backend.Reduce{Y: y, X: filled(b, x, 1, n), Fn: backend.ReduceMax})
			if got := content[float32](y)[0]; got == got {
				t.Errorf("NaN at %d of %d gives %v", at, n, got)
			}
		}
	}
}

func TestSoftmaxInEveryLayout(t *testing.T) {
	t.Run("F32", testSoftmax[float32])
	t.Run("F64", testSoftmax[float64])
}

func testSoftmax[T number](t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	const m, n = 9, 130
	x := normals[T](rng, m*n)
	x[3], x[n+7] = T(math.Inf(-1)), 5000
	var first []T
	for _, lx := range layouts {
		for _, ly := range layouts {
			y := strew(b, x, m, n, ly)
			do(t, b, &backend.Softmax{Y: y, X: strew(b, x, m, n, lx)})
			if first == nil {
				first = content[T](y)
			}
			sameBits(t, fmt.Sprintf("X by %s, Y by %s", lx, ly), content[T](y), first)
		}
	}
	for i := range m {
		row := x[i*n:][:n]
		top, sum := math.Inf(-1), 0.
		for _, v := range row {
			top = max(top, float64(v))
		}
		for _, v := range row {
			sum += math.Exp(float64(v) - top)
		}
		for j, v := range row {
			if want := math.Exp(float64(v)-top) / sum; math.Abs(float64(first[i*n+j])-want) > 1e-6*want {
				t.Errorf("(%d, %d) is %v, want %v", i, j, first[i*n+j], want)
			}
		}
	}
}

func TestTopKBreaksTiesByIndexAndRanksNaNLast(t *testing.T) {
	b := withWorkers(t, 1)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := filled(b, []float32{
		1, 3, 3, 2, 3,
		nan, -1, nan, -inf, -2,
		inf, 0, inf, 0, nan,
	}, 3, 5)
	index, values := filled(b, make([]int32, 12), 3, 4), filled(b, make([]float32, 12), 4, 3).T()
	do(t, b, &backend.TopK{Values: values, Index: index, X: x})
	if got := fmt.Sprint(content[int32](index)); got != "[1 2 4 3 1 4 0 2 0 2 1 3]" {
		t.Errorf("indices %v", got)
	}
	sameBits(t, "values", content[float32](values), []float32{3, 3, 3, 2, -1, -2, -inf, -inf, inf, inf, 0, 0})
	do(t, b, &backend.TopK{Index: index.Slice(1, 0, 0), X: x})
	do(t, b, &backend.TopK{Index: index.Slice(1, 0, 1), X: x})
	if got := fmt.Sprint(content[int32](index.Slice(1, 0, 1))); got != "[1 1 0]" {
		t.Errorf("largest at %v", got)
	}
}
