package cuda_test

import (
	"testing"

	"github.com/aha-go/aha/backend"
)

// In the steady state, launches allocate no Go memory, so that the garbage
// collector does not run during every step.
func TestDoAllocatesNothing(t *testing.T) {
	d := emulatedDevice(t)
	x, y, z := d.normal(backend.F32, 8, 16), d.normal(backend.F32, 8, 16), d.normal(backend.F32, 8, 16)
	w, gain, inverse := d.normal(backend.F32, 16, 16), d.normal(backend.F32, 16), d.normal(backend.F32, 8)
	index, offsets := d.ints(3, 1, 2, 0, 4, 7, 6, 5), d.ints(0, 3, 8)
	experts := d.normal(backend.F32, 2, 16, 16)
	at := d.operand(backend.F64, func(int) float64 { return 1 }, 3)
	lse := d.normal(backend.F32, 8)
	for _, op := range []backend.Op{
		&backend.Fill{Dst: y, Value: 1},
		&backend.Copy{Dst: y, Src: x},
		&backend.Unary{Y: y, X: x, Fn: backend.Exp},
		&backend.Binary{Y: z, A: x, B: y, Fn: backend.Add},
		&backend.Reduce{Y: inverse, X: x, Fn: backend.Sum},
		&backend.Gather{Y: y, X: x, Index: index},
		&backend.MatMul{C: y, A: x, B: backend.Matrix{Data: w}},
		&backend.GroupedMatMul{C: y, A: x, B: backend.Matrix{Data: experts}, Offsets: offsets},
		&backend.RMSNorm{Y: y, Rstd: lse, X: x, W: gain, Eps: 1e-6},
		&backend.SwiGLU{Y: z, Gate: x, Up: y},
		&backend.LogSumExp{LSE: lse, X: x, InvTemp: 1},
		&backend.AdamW{W: x, G: y, M: z, V: z, At: at, LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8},
	} {
		if n := testing.AllocsPerRun(50, func() {
			if err := d.Do(op); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s allocates %v times", op.Name(), n)
		}
		d.must(d.Sync())
	}
}
