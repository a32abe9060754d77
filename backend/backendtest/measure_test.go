package backendtest

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestEveryOpHasABenchmark(t *testing.T) {
	for name, cases := range map[string][]Case{"BenchCases": BenchCases(), "SmallBenchCases": SmallBenchCases()} {
		for _, op := range Ops() {
			if !slices.ContainsFunc(cases, func(c Case) bool { return c.Op == op }) {
				t.Errorf("%s has no case of %s", name, op)
			}
		}
	}
}

func TestMeasureCountsTheWork(t *testing.T) {
	b := newCPU(t)
	for _, x := range []struct {
		spec         spec
		flops, bytes float64
		format       backend.Format
	}{
		{matMulSpec{M: 2, K: 3, N: 5}, 2 * 2 * 3 * 5, 4 * (2*3 + 3*5 + 2*5), backend.Native},
		{formatMatMulSpec{backend.BFloat16, matMulSpec{M: 2, K: 3, N: 5}}, 60, 4 * (2*3 + 3*5 + 2*5), backend.BFloat16},
		{copySpec{backend.BF16, backend.F32, []int{7}}, 0, 7 * (2 + 4), backend.Native},
		{adamWSpec{[]int{10}, 1, false}, 0, 10*4*7 + 24, backend.Native},
		{gatherSpec{tableSpec{3, 8, 5}, backend.F32, backend.F32}, 0, 4 * (2*3*5 + 3), backend.Native},
		{scatterSpec{tableSpec{3, 8, 5}, false}, 0, 4 * (2*3*5 + 3), backend.Native},
		{scatterSpec{tableSpec{3, 8, 5}, true}, 0, 4 * (3*3*5 + 3), backend.Native},
	} {
		c := Case{Op: x.spec.op(), DType: backend.F32, Seed: 1, spec: x.spec}
		m, err := Measure(b, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		if m.Flops != x.flops || m.Bytes != x.bytes || m.Format != x.format || m.Case.Op != c.Op {
			t.Errorf("%s: %g operations, %g bytes in %s, want %g, %g, %s", c, m.Flops, m.Bytes, m.Format, x.flops, x.bytes,
				x.format)
		}
		if !(m.Seconds > 0) || math.Abs(m.GBs()-m.Bytes/m.Seconds/1e9) > 1e-9*m.GBs() {
			t.Errorf("%s: %g s, %g GB/s", c, m.Seconds, m.GBs())
		}
	}
}

func TestMeasureReportsWhatIsLacking(t *testing.T) {
	b := &broken{newCPU(t), "RMSNorm", refuse}
	c := Case{Op: "RMSNorm", DType: backend.F32, Seed: 1, spec: rmsNormSpec{2, 3, 1}}
	if _, err := Measure(b, c, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}
