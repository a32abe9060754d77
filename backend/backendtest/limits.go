package backendtest

import (
	"errors"
	"time"

	"github.com/aha-go/aha/backend"
)

// Product identifies a kind of matrix product by its dtype and format.
type Product struct {
	DType  backend.DType  // dtype of the activations
	Format backend.Format // format of the matrix
}

// Limits are the best rates that a device reaches, all of them measured and none from a
// data sheet. A share of a limit therefore compares with what the backend itself can do,
// and large products are their own limit.
type Limits struct {
	Launch float64             // seconds that an op on one element takes
	Copy   float64             // bytes per second that a large Copy reads and writes
	MatMul map[Product]float64 // operations per second of a large MatMul, packed or not, whichever is faster
}

// MeasureLimits measures the limits of b in rounds of the given time. If small is set,
// the copy has 65,536 elements and products are 64×64×64, for devices as slow as an
// emulator; the figures then say nothing about a real device.
func MeasureLimits(b backend.Backend, round time.Duration, small bool) (Limits, error) {
	rows, size := 4096, 2048
	if small {
		rows, size = 16, 64
	}
	l := Limits{MatMul: map[Product]float64{}}
	fill := Case{Op: "Fill", DType: backend.F32, Seed: 1, spec: fillSpec{backend.F32, 1, []int{1}}}
	t, err := Measure(b, fill, round)
	if err != nil {
		return l, err
	}
	l.Launch = t.Seconds
	large := Case{Op: "Copy", DType: backend.F32, Seed: 1, spec: copySpec{backend.F32, backend.F32, []int{rows, 4096}}}
	if t, err = Measure(b, large, round); err != nil {
		return l, err
	}
	l.Copy = t.Bytes / t.Seconds
	for _, format := range backend.Formats() {
		for _, packed := range []bool{false, true} {
			for _, dt := range []backend.DType{backend.F32, backend.BF16} {
				c := matMulSpec{M: size, K: size, N: size, Packed: packed}
				product := Case{Op: "MatMul", DType: dt, Seed: 1, spec: c}
				if format != backend.Native {
					product.spec = formatMatMulSpec{format, c}
				}
				t, err := Measure(b, product, round)
				if errors.Is(err, errors.ErrUnsupported) {
					continue
				}
				if err != nil {
					return l, err
				}
				p := Product{dt, format}
				l.MatMul[p] = max(l.MatMul[p], t.Flops/t.Seconds)
			}
		}
	}
	return l, nil
}

// Least returns the time that t's work takes at these limits, and which limit determines
// it: "launch", "copy" or "matmul".
func (l Limits) Least(t Timing) (seconds float64, bound string) {
	seconds, bound = l.Launch, "launch"
	if copying := t.Bytes / l.Copy; copying > seconds {
		seconds, bound = copying, "copy"
	}
	if rate := l.MatMul[Product{t.Case.DType, t.Format}]; rate > 0 && t.Flops/rate > seconds {
		seconds, bound = t.Flops/rate, "matmul"
	}
	return seconds, bound
}
