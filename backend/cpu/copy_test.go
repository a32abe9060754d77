package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestCopyConvertsEveryPairOfDTypes(t *testing.T) {
	b := withWorkers(t, 2)
	const m, n = 40, 60
	x := make([]int32, m*n)
	for i := range x {
		x[i] = int32(i%255) - 127 // exact in every dtype
	}
	dtypes := []backend.DType{backend.F32, backend.F64, backend.BF16, backend.I32}
	fresh := func(dt backend.DType) backend.View {
		buf, err := b.Alloc(m * n * dt.Size())
		if err != nil {
			t.Fatal(err)
		}
		return backend.NewView(buf, dt, m, n)
	}
	for _, from := range dtypes {
		for _, to := range dtypes {
			for _, transposed := range []bool{false, true} {
				src, dst, back := fresh(from), fresh(to), fresh(backend.I32)
				want := x
				if transposed {
					src = src.Reshape(n, m).T()
				}
				do(t, b, &backend.Copy{Dst: src, Src: filled(b, x, m, n)})
				do(t, b, &backend.Copy{Dst: dst, Src: src})
				do(t, b, &backend.Copy{Dst: back, Src: dst})
				if got := content[int32](back); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%v to %v, transposed %t: %v", from, to, transposed, got)
				}
			}
		}
	}
}

func TestStorageDTypesAreSupportedInOpsThatMoveElements(t *testing.T) {
	b := withWorkers(t, 1)
	for _, dt := range []backend.DType{backend.E4M3, backend.E5M2, backend.F16} {
		for op, want := range map[string]bool{"Copy": true, "Fill": true, "Gather": true, "Scatter": true,
			"ScatterAdd": false, "Add": false, "MatMul": false} {
			if got := backend.Supports(b, op, dt); got != want {
				t.Errorf("%s of %s is supported: %t, want %t", op, dt, got, want)
			}
		}
	}
}

func TestBFloat16RoundsToNearestEven(t *testing.T) {
	for _, c := range []struct{ in, want uint32 }{
		{0x3f800000, 0x3f80}, // 1
		{0x3f808000, 0x3f80}, // tie to even, down
		{0x3f808001, 0x3f81},
		{0x3f818000, 0x3f82}, // tie to even, up
		{0x3f817fff, 0x3f81},
		{0x80000000, 0x8000}, // −0
		{0x00000001, 0x0000}, // smallest subnormal
		{0x7f7fffff, 0x7f80}, // largest finite number to +Inf
		{0x7f800000, 0x7f80}, // +Inf
		{0xff800000, 0xff80}, // −Inf
	} {
		if got := bfloat16(math.Float32frombits(c.in)); uint32(got) != c.want {
			t.Errorf("%#08x gives %#04x, want %#04x", c.in, got, c.want)
		}
	}
	for _, nan := range []uint32{0x7f800001, 0x7fc00000, 0xffffffff} {
		if got := fromBFloat16(bfloat16(math.Float32frombits(nan))); got == got {
			t.Errorf("NaN %#08x gives %v", nan, got)
		}
	}
}

func TestCopyRoundsF64ToBF16Once(t *testing.T) {
	b := withWorkers(t, 1)
	// Just above and below a tie, by less than float32 can represent.
	x := []float64{1 + 0x1p-8 + 0x1p-40, -1 - 0x1p-8 - 0x1p-40, 1 + 3*0x1p-8 - 0x1p-40, 1 + 0x1p-8, 1e300, math.Inf(-1)}
	y := filled(b, make([]uint16, len(x)), len(x))
	do(t, b, &backend.Copy{Dst: y, Src: filled(b, x, len(x))})
	want := []uint16{0x3f81, 0xbf81, 0x3f81, 0x3f80, 0x7f80, 0xff80}
	if got := content[uint16](y); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %#x, want %#x", got, want)
	}
}

func TestCopyToI32RoundsTowardZeroAndSaturates(t *testing.T) {
	b := withWorkers(t, 1)
	x := []float32{1.9, -1.9, float32(math.NaN()), 3e9, float32(math.Inf(-1)), 16777216}
	y := filled(b, make([]int32, len(x)), len(x))
	do(t, b, &backend.Copy{Dst: y, Src: filled(b, x, len(x))})
	want := []int32{1, -1, 0, math.MaxInt32, math.MinInt32, 16777216}
	if got := content[int32](y); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFillAndIotaTouchOnlyTheirView(t *testing.T) {
	b := withWorkers(t, 2)
	x := filled(b, make([]float32, 12), 3, 4)
	do(t, b, &backend.Fill{Dst: x.Slice(1, 1, 3), Value: 2.5})
	sameBits(t, "Fill", content[float32](x), []float32{0, 2.5, 2.5, 0, 0, 2.5, 2.5, 0, 0, 2.5, 2.5, 0})
	h := filled(b, make([]uint16, 2), 2)
	do(t, b, &backend.Fill{Dst: h, Value: -2})
	if got := content[uint16](h); got[0] != 0xc000 || got[1] != 0xc000 {
		t.Errorf("Fill of BF16: %#x", got)
	}
	ids := filled(b, make([]int32, 8), 4, 2)
	do(t, b, &backend.Iota{Dst: ids.T().Index(1)})
	if got := content[int32](ids); fmt.Sprint(got) != "[0 0 0 1 0 2 0 3]" {
		t.Errorf("Iota: %v", got)
	}
}
