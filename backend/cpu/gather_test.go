package cpu

import (
	"fmt"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestGatherTakesRowsOfEveryDType(t *testing.T) {
	t.Run("F32", testGather[float32])
	t.Run("F64", testGather[float64])
	t.Run("BF16", testGather[uint16])
	t.Run("I32", testGather[int32])
}

func testGather[T number | int32 | uint16](t *testing.T) {
	b := withWorkers(t, 2)
	index := filled(b, []int32{2, -1, 0, 2}, 4)
	for _, x := range []backend.View{
		filled(b, []T{1, 2, 3, 4, 5, 6}, 3, 2),
		filled(b, []T{1, 3, 5, 2, 4, 6}, 2, 3).T(),
	} {
		y := filled(b, []T{9, 9, 9, 9, 9, 9, 9, 9}, 4, 2)
		do(t, b, &backend.Gather{Y: y, X: x, Index: index})
		if got := fmt.Sprint(content[T](y)); got != "[5 6 0 0 1 2 5 6]" {
			t.Errorf("Gather: %v", got)
		}
		do(t, b, &backend.Scatter{Y: x, X: y, Index: filled(b, []int32{1, -1, 1, 0}, 4)})
		if got := fmt.Sprint(content[T](x)); got != "[5 6 1 2 5 6]" {
			t.Errorf("Scatter: %v", got)
		}
	}
}

func TestScatterAddIsOneChainInAscendingRow(t *testing.T) {
	b, rng := withWorkers(t, 2), newRand(t)
	const n, d, r = 500, 33, 4
	x, y0 := normals[float32](rng, n*d), normals[float32](rng, r*d)
	ids := make([]int32, n)
	want := append([]float32(nil), y0...)
	for i := range ids {
		ids[i] = int32(rng.IntN(r+1)) - 1
		for j := range d {
			if ids[i] >= 0 {
				want[int(ids[i])*d+j] += x[i*d+j]
			}
		}
	}
	for _, layout := range layouts {
		y := strew(b, y0, r, d, layout)
		do(t, b, &backend.Scatter{Y: y, X: strew(b, x, n, d, layout), Index: filled(b, ids, n), Add: true})
		sameBits(t, layout, content[float32](y), want)
	}
	h := filled(b, make([]uint16, 2), 1, 2)
	panics(t, func() { b.Do(&backend.Scatter{Y: h, X: h, Index: filled(b, []int32{0}, 1), Add: true}) }, "ScatterAdd",
		"sums in BF16")
}

func TestGatherLastAndScatterLast(t *testing.T) {
	b := withWorkers(t, 1)
	x := filled(b, []float64{1, 2, 3, 4, 5, 6}, 2, 3)
	index := filled(b, []int32{2, 0, -1, 1}, 2, 2)
	y := filled(b, []float64{9, 9, 9, 9}, 2, 2)
	do(t, b, &backend.GatherLast{Y: y, X: x, Index: index})
	sameBits(t, "GatherLast", content[float64](y), []float64{3, 1, 0, 5})
	do(t, b, &backend.ScatterLast{Y: x, X: y, Index: index})
	sameBits(t, "ScatterLast", content[float64](x), []float64{2, 2, 6, 4, 10, 6})
	do(t, b, &backend.ScatterLast{Y: x, X: y, Index: filled(b, []int32{1, 1, -1, -1}, 2, 2)})
	sameBits(t, "ScatterLast twice to one place", content[float64](x), []float64{2, 6, 6, 4, 10, 6})
}

func TestRowOpsPanicOnIndicesOutOfRange(t *testing.T) {
	b := withWorkers(t, 1)
	x := filled(b, make([]float32, 6), 3, 2)
	bad := filled(b, []int32{0, 3, 1}, 3)
	panics(t, func() { b.Do(&backend.Gather{Y: x, X: x, Index: bad}) }, "Gather", "3")
	panics(t, func() { b.Do(&backend.Scatter{Y: x, X: x, Index: bad}) }, "Scatter", "3")
	panics(t, func() { b.Do(&backend.Scatter{Y: x, X: x, Index: bad, Add: true}) }, "ScatterAdd", "3")
	column := bad.Reshape(3, 1)
	one := filled(b, make([]float32, 3), 3, 1)
	panics(t, func() { b.Do(&backend.GatherLast{Y: one, X: x, Index: column}) }, "GatherLast", "3")
	panics(t, func() { b.Do(&backend.ScatterLast{Y: x, X: one, Index: column}) }, "ScatterLast", "3")
}
