package cuda_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// A step below 1, for which the CPU panics, is an error of Sync and changes
// nothing.
func TestStepsOfAdamWBelowOneAreReported(t *testing.T) {
	d := emulatedDevice(t)
	for _, dt := range []backend.DType{backend.F32, backend.F64} {
		for _, step := range []float64{0, -3, 0.5} {
			w, g, m, v := d.normal(dt, 300), d.normal(dt, 300), d.normal(dt, 300), d.normal(dt, 300)
			at := d.operand(backend.F64, func(i int) float64 { return []float64{step, 1, 1}[i] }, 3)
			op := &backend.AdamW{W: w, G: g, M: m, V: v, At: at, LR: 1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8}
			before := d.bits(w)
			d.do(op)
			want := fmt.Sprintf("index %d, which is out of range (for AdamW: a step below 1)", int(step))
			if err := d.Sync(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, step %v: error %v", dt, step, err)
			}
			if !bytes.Equal(d.bits(w), before) {
				t.Errorf("%v, step %v: the weights changed", dt, step)
			}
		}
	}
}
