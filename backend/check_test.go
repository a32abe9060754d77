package backend_test

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestCheckNamesTheInconsistency(t *testing.T) {
	f := func(shape ...int) backend.View { return backend.NewView(memory(1<<12), backend.F32, shape...) }
	i := func(shape ...int) backend.View { return backend.NewView(memory(1<<12), backend.I32, shape...) }
	wide := backend.NewView(memory(1<<12), backend.F64, 2, 3)
	half := func(shape ...int) backend.View { return backend.NewView(memory(1<<12), backend.F16, shape...) }
	byte8 := func(shape ...int) backend.View { return backend.NewView(memory(1<<12), backend.E5M2, shape...) }
	backwards := f(3)
	backwards.Offset, backwards.Strides[0] = 2, -1
	for want, op := range map[string]backend.Op{
		"RMSNorm: W F32[4], want shape [3]": &backend.RMSNorm{Y: f(2, 3), Rstd: f(2), X: f(2, 3), W: f(4)},
		"RMSNorm: Rstd F32[2 1], want shape [2]": &backend.RMSNorm{Y: f(2, 3), Rstd: f(2, 1), X: f(2, 3),
			W: f(3)},
		"RMSNorm: X F32[6], want rank 2":                 &backend.RMSNorm{Y: f(2, 3), Rstd: f(2), X: f(6), W: f(3)},
		"RMSNorm: dtypes F64 and F32 do not go together": &backend.RMSNorm{Y: f(2, 3), Rstd: f(2), X: wide, W: f(3)},
		"RMSNorm: dtype I32, want F32, BF16 or F64":      &backend.RMSNorm{Y: i(2, 3), Rstd: i(2), X: i(2, 3), W: i(3)},
		"RMSNorm: X F32[2 3]/strides[1 2]: rows must be": &backend.RMSNorm{Y: f(2, 3), Rstd: f(2), X: f(3, 2).T(),
			W: f(3)},
		"RMSNorm: W F32[3]/strides[2] must be contiguous": &backend.RMSNorm{Y: f(2, 3), Rstd: f(2), X: f(2, 3),
			W: f(3, 2).T().Index(0)},
		"RMSNorm: an operand is absent":                       &backend.RMSNorm{Y: f(2, 3), Rstd: f(2), X: f(2, 3)},
		"Exp: operand F32[64 64] at offset 0 leaves its buff": &backend.Unary{Y: f(64, 64), X: f(64, 64), Fn: backend.Exp},
		"Exp: result F32[2 3]/strides[0 1] repeats elements": &backend.Unary{Y: f(3).BroadcastTo(2, 3), X: f(2, 3),
			Fn: backend.Exp},
		"Exp: operand F32[3]/strides[-1] has a negative stri": &backend.Unary{Y: f(3), X: backwards, Fn: backend.Exp},
		"Gather: index operand F32[4], want I32":              &backend.Gather{Y: f(4, 3), X: f(2, 3), Index: f(4)},
		"Add: dtypes I32 and F32 differ":                      &backend.Binary{Y: f(2), A: i(2), B: i(2), Fn: backend.Add},
		"Less: dtypes I32 and F32 differ":                     &backend.Binary{Y: i(2), A: i(2), B: f(2), Fn: backend.Less},
		"Div: dtype I32, want F32, BF16 or F64":               &backend.Binary{Y: i(2), A: i(2), B: i(2), Fn: backend.Div},
		"MatMul: A [2 3], B [4 5]: inner dimensions differ": &backend.MatMul{C: f(2, 5), A: f(2, 3),
			B: backend.MatrixOf(f(4, 5))},
		"Exp: dtype F16, want F32, BF16 or F64": &backend.Unary{Y: half(2), X: half(2), Fn: backend.Exp},
		"Add: dtype E5M2, want F32, BF16 or F64": &backend.Binary{Y: byte8(2), A: byte8(2), B: byte8(2),
			Fn: backend.Add},
		"MatMul: dtype F16, want F32, BF16 or F64": &backend.MatMul{C: half(2, 2), A: half(2, 2),
			B: backend.MatrixOf(half(2, 2))},
		"Sum: dtypes E5M2 and F32 do not go together": &backend.Reduce{Y: f(2), X: byte8(2, 3), Fn: backend.Sum},
		"RMSNorm: dtype E5M2, want F32, BF16 or F64": &backend.RMSNorm{Y: byte8(2, 3), Rstd: f(2), X: byte8(2,
			3), W: f(3)},
		"Gather: dtypes F16 and F32": &backend.Gather{Y: f(2, 3), X: half(2, 3), Index: i(2)},
		"ScatterAdd: sums in F16[2 3], want F32, F64 or I32": &backend.Scatter{Y: half(2, 3), X: half(2, 3), Index: i(2),
			Add: true},
		"TopK: K 5 of 3 columns": &backend.TopK{Index: i(2, 5), X: f(2, 3)},
		"MoERoute: Offsets I32[0], want one more than there": &backend.MoERoute{Offsets: i(0), Perm: i(0), Inverse: i(0,
			2), Index: i(0, 2)},
	} {
		if err := op.Check(); err == nil || !strings.Contains(err.Error(), "backend: "+want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	for _, op := range []backend.Op{
		&backend.RMSNorm{Y: f(2, 3), Rstd: f(2), X: f(3).BroadcastTo(2, 3), W: f(3)},
		&backend.Binary{Y: i(2), A: i(2), B: i(2), Fn: backend.Add},
		&backend.Binary{Y: i(2), A: f(2), B: f(2), Fn: backend.Less},
		&backend.Unary{Y: f(0, 64), X: f(0, 64), Fn: backend.Exp},
		&backend.Copy{Dst: half(2, 3), Src: byte8(2, 3)},
		&backend.Gather{Y: half(2, 3), X: half(2, 3), Index: i(2)},
		&backend.Scatter{Y: byte8(2, 3), X: byte8(2, 3), Index: i(2)},
	} {
		if err := op.Check(); err != nil {
			t.Errorf("a consistent op: %v", err)
		}
	}
}
