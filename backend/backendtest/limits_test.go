package backendtest

import (
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
)

func TestLimitsAreMeasuredInEveryFormat(t *testing.T) {
	l, err := MeasureLimits(newCPU(t), time.Microsecond, true)
	if err != nil {
		t.Fatal(err)
	}
	if !(l.Launch > 0 && l.Copy > 0) {
		t.Errorf("launch %g s, copy %g bytes a second", l.Launch, l.Copy)
	}
	for _, f := range backend.Formats() {
		for _, dt := range []backend.DType{backend.F32, backend.BF16} {
			if !(l.MatMul[Product{dt, f}] > 0) {
				t.Errorf("there is no rate for products of %s activations with a matrix in format %s", dt, f)
			}
		}
	}
	// A device without BF16 activations still has limits.
	lacks := &broken{newCPU(t), "MatMul", func(b backend.Backend, op backend.Op) error {
		if op.(*backend.MatMul).A.DType == backend.BF16 {
			return backend.Unsupported(b, op, "")
		}
		return b.Do(op)
	}}
	if l, err = MeasureLimits(lacks, time.Microsecond, true); err != nil || len(l.MatMul) != len(backend.Formats()) {
		t.Errorf("%d rates, error %v", len(l.MatMul), err)
	}
}

func TestLeastIsTheSlowestResource(t *testing.T) {
	l := Limits{Launch: 1, Copy: 10, MatMul: map[Product]float64{{backend.BF16, backend.Q8}: 100}}
	for _, x := range []struct {
		t     Timing
		want  float64
		bound string
	}{
		{Timing{Bytes: 5, Flops: 1e6}, 1, "launch"},
		{Timing{Bytes: 50, Flops: 1e6}, 5, "copy"},
		{Timing{Bytes: 50, Flops: 600, Case: Case{DType: backend.BF16}, Format: backend.Q8}, 6, "matmul"},
		{Timing{Bytes: 50, Flops: 600, Case: Case{DType: backend.F32}, Format: backend.Q8}, 5, "copy"},
	} {
		if got, bound := l.Least(x.t); got != x.want || bound != x.bound {
			t.Errorf("%+v: %g s by %s, want %g by %s", x.t, got, bound, x.want, x.bound)
		}
	}
}
