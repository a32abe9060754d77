package backend_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
)

type memory int

func (m memory) Bytes() int { return int(m) }

// at lists the indices in the buffer of the elements of v, in row-major order.
func at(v backend.View) []int {
	list := []int{}
	v.Each(func(_, at int) { list = append(list, at) })
	return list
}

func TestViewsSelectElements(t *testing.T) {
	v := backend.NewView(memory(1000), backend.F32, 2, 3) // 0 1 2 / 3 4 5
	for name, c := range map[string]struct {
		view  backend.View
		shape []int
		want  []int
	}{
		"whole":     {v, []int{2, 3}, []int{0, 1, 2, 3, 4, 5}},
		"Slice":     {v.Slice(1, 1, 3), []int{2, 2}, []int{1, 2, 4, 5}},
		"negative":  {v.Slice(-1, 0, 1), []int{2, 1}, []int{0, 3}},
		"empty":     {v.Slice(0, 1, 1), []int{0, 3}, []int{}},
		"Index":     {v.Index(1), []int{3}, []int{3, 4, 5}},
		"T":         {v.T(), []int{3, 2}, []int{0, 3, 1, 4, 2, 5}},
		"Permute":   {v.Unsqueeze(0).Permute(2, 0, 1), []int{3, 1, 2}, []int{0, 3, 1, 4, 2, 5}},
		"Reshape":   {v.Slice(0, 1, 2).Reshape(3, 1), []int{3, 1}, []int{3, 4, 5}},
		"Unsqueeze": {v.Unsqueeze(2), []int{2, 3, 1}, []int{0, 1, 2, 3, 4, 5}},
		"Broadcast": {v.Index(0).BroadcastTo(2, 3), []int{2, 3}, []int{0, 1, 2, 0, 1, 2}},
		"column":    {v.Slice(1, 2, 3).BroadcastTo(2, 2), []int{2, 2}, []int{2, 2, 5, 5}},
		"scalar":    {v.Index(1).Index(2), []int{}, []int{5}},
		"spread":    {v.Index(1).Index(2).BroadcastTo(2), []int{2}, []int{5, 5}},
	} {
		if diff := cmp.Diff(c.want, at(c.view)); diff != "" {
			t.Errorf("%s: elements (-want +got):\n%s", name, diff)
		}
		if got := append([]int{}, c.view.Dims()...); !cmp.Equal(got, c.shape) || c.view.Len() != len(c.want) {
			t.Errorf("%s: shape %v of %d elements, want %v", name, got, c.view.Len(), c.shape)
		}
	}
	transposed := v.T()
	if v.Dim(-1) != 3 || v.Stride(0) != 3 || transposed.Stride(-1) != 3 {
		t.Errorf("dimensions of %v and its transpose: %d, %d, %d", v, v.Dim(-1), v.Stride(0), transposed.Stride(-1))
	}
}

func TestContiguousMeansRowMajorWithoutGaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		v := backend.NewView(memory(1<<20), backend.F32, 1+r.IntN(3), 1+r.IntN(3), 1+r.IntN(3))
		switch r.IntN(4) {
		case 0:
			v = v.Permute(r.Perm(3)...)
		case 1:
			axis := r.IntN(3)
			lo := r.IntN(v.Dim(axis))
			v = v.Slice(axis, lo, lo+r.IntN(v.Dim(axis)-lo+1))
		case 2:
			v = v.Slice(0, 0, 1).BroadcastTo(2, v.Dim(1), v.Dim(2))
		}
		want := true
		for i, place := range at(v) {
			want = want && place == v.Offset+i
		}
		if v.Contiguous() != want {
			t.Fatalf("%v at %d, elements %v: Contiguous() = %v", v, v.Offset, at(v), v.Contiguous())
		}
		lo, hi := v.Span()
		for _, place := range at(v) {
			if place < lo || place >= hi {
				t.Fatalf("%v: element %d outside its span [%d, %d)", v, place, lo, hi)
			}
		}
	}
}

func TestViewStrings(t *testing.T) {
	v := backend.NewView(memory(100), backend.BF16, 2, 3)
	for want, v := range map[string]backend.View{
		"BF16[2 3]": v, "BF16[3 2]/strides[1 3]": v.T(), "absent": {}, "BF16[]": v.Index(0).Index(0),
	} {
		if v.String() != want {
			t.Errorf("%q, want %q", v.String(), want)
		}
	}
}

func TestImpossibleViewsPanic(t *testing.T) {
	v := backend.NewView(memory(1000), backend.F32, 2, 3)
	for name, fn := range map[string]func(){
		"rank 5":                  func() { backend.NewView(memory(0), backend.F32, 1, 1, 1, 1, 1) },
		"Slice past the end":      func() { v.Slice(0, 1, 3) },
		"Slice backwards":         func() { v.Slice(0, 1, 0) },
		"no such dimension":       func() { v.Dim(2) },
		"Index past the end":      func() { v.Index(2) },
		"Reshape of other length": func() { v.Reshape(5) },
		"Reshape of strided":      func() { v.T().Reshape(6) },
		"Permute twice":           func() { v.Permute(0, 0) },
		"Permute of other rank":   func() { v.Permute(0) },
		"T of a vector":           func() { v.Index(0).T() },
		"Unsqueeze past the rank": func() { v.Unsqueeze(3) },
		"Unsqueeze of rank 4":     func() { v.Unsqueeze(0).Unsqueeze(0).Unsqueeze(0) },
		"Broadcast of 3 to 4":     func() { v.BroadcastTo(2, 4) },
		"Broadcast to fewer":      func() { v.BroadcastTo(3) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			fn()
		})
	}
}

func TestElementsRoundTrip(t *testing.T) {
	mem := make([]byte, 64)
	for _, c := range []struct {
		dt       backend.DType
		in, want float64
	}{
		{backend.F32, 0.1, float64(float32(0.1))},
		{backend.F64, 0.1, 0.1},
		{backend.I32, -2147483648, -2147483648},
		{backend.I32, -1.75, -1},
		{backend.BF16, 1 + 1.0/256, 1},           // halfway, to even
		{backend.BF16, 1 + 3.0/256, 1 + 4.0/256}, // halfway, to even
		{backend.BF16, 1 + 1.1/256, 1 + 2.0/256}, // above halfway
		{backend.BF16, math.MaxFloat32, math.Inf(1)},
		{backend.BF16, math.Inf(-1), math.Inf(-1)},
	} {
		for i := range 8 {
			c.dt.Put(mem, i, c.in)
			if got := c.dt.Get(mem, i); got != c.want {
				t.Errorf("%s holds %v as %v, want %v", c.dt, c.in, got, c.want)
			}
		}
	}
	// The payload of this NaN is in the bits that BF16 cuts off.
	backend.BF16.Put(mem, 0, float64(math.Float32frombits(0x7f800001)))
	if got := backend.BF16.Get(mem, 0); !math.IsNaN(got) {
		t.Errorf("BF16 holds NaN as %v", got)
	}
}

func TestValuesReadsThroughStrides(t *testing.T) {
	b := newCPU(t)
	v := upload(t, b, backend.I32, []float64{0, 1, 2, 3, 4, 5}, 2, 3)
	if diff := cmp.Diff([]float64{1, 4, 2, 5}, values(t, b, v.Slice(1, 1, 3).T())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := values(t, b, v.Slice(0, 1, 1)); len(got) != 0 {
		t.Errorf("an empty view has values %v", got)
	}
}
