package backendtest

import (
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestBackendsThatAgreeAreNotApart(t *testing.T) {
	ref, b := newCPU(t), newCPU(t)
	for _, c := range SmallBenchCases() {
		if d := Differ(ref, b, c); !d.OK() || !d.Ref.OK() || d.Apart != 0 || d.Lacks() {
			t.Errorf("%s: apart %g; %s; %s", c, d.Apart, d.Result, d.Ref)
		}
	}
}

func TestDifferMeasuresInTolerances(t *testing.T) {
	b := newCPU(t)
	for _, c := range SmallBenchCases() {
		d := Differ(b, &broken{b, c.Op, perturb}, c)
		if d.Err != nil {
			continue // the wrong element is outside the result
		}
		if d.OK() || !d.Ref.OK() || d.Apart < d.MaxError/2 {
			t.Errorf("%s: apart %g, the error is %g; %s", c, d.Apart, d.MaxError, d.Ref)
		}
		if d = Differ(&broken{b, c.Op, perturb}, b, c); !d.OK() || d.Ref.OK() || !(d.Apart > 0) {
			t.Errorf("a fault of the reference of %s: apart %g; %s", c, d.Apart, d.Result)
		}
	}
}

func TestDifferSaysWhatIsLacking(t *testing.T) {
	b := newCPU(t)
	lacks := &broken{b, "RMSNorm", refuse}
	c := Case{Op: "RMSNorm", DType: backend.F32, Seed: 1, spec: rmsNormSpec{2, 3, 1}}
	for _, x := range []struct {
		ref, b backend.Backend
		want   bool
	}{{b, lacks, true}, {lacks, b, false}, {lacks, lacks, false}, {b, b, false}} {
		if d := Differ(x.ref, x.b, c); d.Lacks() != x.want || d.Apart != 0 || !d.OK() {
			t.Errorf("%s beside %s: lacks %t, apart %g, %s", x.b.Name(), x.ref.Name(), d.Lacks(), d.Apart, d.Result)
		}
	}
}
