package backend_test

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// Every op that takes a Matrix returns an error that names what is wrong with it.
func TestMatricesOfNoFormAreRefused(t *testing.T) {
	view := func(dt backend.DType) func(shape ...int) backend.View {
		return func(shape ...int) backend.View { return backend.NewView(memory(1<<18), dt, shape...) }
	}
	f, codes := view(backend.F32), view(backend.E4M3)
	ints, bytes, halves := view(backend.I32), view(backend.I8)(4, 5), view(backend.F16)(1, 5)
	scaled := func(format backend.Format, data, scale backend.View) backend.Matrix {
		return backend.Matrix{Data: data, Scale: scale, Format: format}
	}
	withMin := func(m backend.Matrix, least backend.View) backend.Matrix {
		m.Min = least
		return m
	}
	packed := func(data backend.View) backend.Matrix {
		return backend.Matrix{Data: data, Layout: backend.Packed, Format: backend.FP8, K: 4, N: 5}
	}
	product := func(b backend.Matrix) backend.Op { return &backend.MatMul{C: f(2, 5), A: f(2, 4), B: b} }
	good := scaled(backend.FP8, codes(4, 5), f(1, 1))
	stack := packed(codes(2, 3, 64))
	withScale := packed(codes(64))
	withScale.Scale = f(1, 1)
	for _, c := range []struct {
		want string
		op   backend.Op
	}{
		{"MatMul: matrix E4M3[4 5] beside F32[2 5]: want F32 or BF16",
			product(backend.Matrix{Data: codes(4, 5), Format: backend.FP8})},
		{"MatMul: matrix F64[4 5] beside F32[2 5]",
			product(backend.MatrixOf(view(backend.F64)(4, 5)))},
		{"MatMul: matrix F32[4] of too low a rank",
			product(backend.MatrixOf(f(4)))},
		{"MatMul: matrix E4M3[] of too low a rank",
			product(packed(codes()))},
		{"MatMul: Scale F32[1 1] of a packed matrix",
			product(withScale)},
		{"MatMul: format native has no strided form with scales",
			product(scaled(backend.Native, f(4, 5), f(1, 1)))},
		{"MatMul: format bf16 has no strided form with scales",
			product(scaled(backend.BFloat16, f(4, 5), f(1, 1)))},
		{"MatMul: Min absent in format q4_1",
			product(scaled(backend.Q4_1, bytes, halves))},
		{"MatMul: Min F16[1 5] in format q4",
			product(withMin(scaled(backend.Q4, bytes, halves), halves))},
		{"MatMul: Scale F16[1 5], Min F32[1 5]: want a minimum for each",
			product(withMin(scaled(backend.Q4_1, bytes, halves), f(1, 5)))},
		{"MatMul: Scale F16[1 5], Min F16[1 4]: want a minimum for each",
			product(withMin(scaled(backend.Q4_1, bytes, halves), view(backend.F16)(1, 4)))},
		{"MatMul: Data E5M2[4 5], Scale F32[1 1] in format fp8, want E4M3",
			product(scaled(backend.FP8, view(backend.E5M2)(4, 5), f(1, 1)))},
		{"MatMul: Data E4M3[129 5], Scale F32[1 1]: want a scale for each",
			product(scaled(backend.FP8, codes(129, 5), f(1, 1)))},
		{"MatMul: leading dimensions of Data E4M3[2 4 5], Scale F32[3 1 1]",
			product(scaled(backend.FP8, codes(2, 4, 5), f(3, 1, 1)))},
		{"LinearLogProb: matrix F32[5] of too low a rank",
			&backend.LinearLogProb{LogProb: f(2), LSE: f(2),
				X: f(2, 4), W: backend.MatrixOf(f(5)), Target: ints(2)}},
		{"LinearLogProbGrad: W E4M3[4 5] in format fp8, want a strided matr",
			&backend.LinearLogProbGrad{DLogProb: f(2), LSE: f(2),
				X: f(2, 4), W: good, Target: ints(2), InvTemp: 1}},
		{"GroupedOuter: format fp8 does not train",
			&backend.GroupedOuter{C: f(1, 2, 3), A: f(4, 2), B: f(4, 3), Offsets: ints(2), Format: backend.FP8}},
		{"Pack: an operand is absent",
			&backend.Pack{Dst: good}},
		{"Pack: Dst E4M3[], want rank 1 or 2",
			&backend.Pack{Dst: packed(codes()), Src: backend.MatrixOf(f(4, 5))}},
		{"Pack: Dst F32[4 5] is neither packed nor scaled",
			&backend.Pack{Dst: backend.MatrixOf(f(4, 5)), Src: backend.MatrixOf(f(4, 5))}},
		{"Pack: Src in format q8, Dst in fp8",
			&backend.Pack{Dst: good, Src: scaled(backend.Q8, bytes, halves)}},
		{"Unpack: Src is neither packed nor scaled",
			&backend.Unpack{Dst: f(4, 5), Src: backend.MatrixOf(f(4, 5))}},
		{"Unpack: Dst F32[2 3 4 5] for Src E4M3[2 3 64]",
			&backend.Unpack{Dst: f(2, 3, 4, 5), Src: stack}},
		{"Unpack: Dst F32[3 4 5] for Src E4M3[2 64]",
			&backend.Unpack{Dst: f(3, 4, 5), Src: packed(codes(2, 64))}},
		{"Unpack: Dst [4 5], want [4 3]",
			&backend.Unpack{Dst: f(4, 5), Src: good, Index: ints(3)}},
	} {
		if err := c.op.Check(); err == nil || !strings.Contains(err.Error(), "backend: "+c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	for _, op := range []backend.Op{
		product(good), product(packed(codes(64))),
		product(scaled(backend.Q4, bytes, halves)), product(withMin(scaled(backend.Q4_1, bytes, halves), halves)),

		&backend.Unpack{Dst: f(4, 3), Src: good, Index: ints(3)},
		&backend.Unpack{Dst: f(2, 4, 5), Src: packed(codes(2, 64))},
	} {
		if err := op.Check(); err != nil {
			t.Errorf("a consistent op: %v", err)
		}
	}
}

// Columns that Pack does not write keep their values, in both forms of Dst.
func TestPackOfSomeColumnsReadsDst(t *testing.T) {
	f := func(shape ...int) backend.View { return backend.NewView(memory(1<<18), backend.F32, shape...) }
	codes := func(shape ...int) backend.View { return backend.NewView(memory(1<<18), backend.E4M3, shape...) }
	for _, dst := range []backend.Matrix{
		{Data: codes(4, 256), Scale: f(1, 2), Format: backend.FP8},
		{Data: codes(4096), Layout: backend.Packed, Format: backend.FP8, K: 4, N: 256},
	} {
		for n, want := range map[int]backend.Access{128: backend.ReadWrite, 256: backend.Write} {
			op := &backend.Pack{Dst: dst, Src: backend.MatrixOf(f(4, n))}
			op.Operands(func(v *backend.View, a backend.Access) {
				if v != &op.Src.Data && a != want {
					t.Errorf("layout %s, %d columns of 256: access %v to %v, want %v", dst.Layout, n, a, *v, want)
				}
			})
		}
	}
}
