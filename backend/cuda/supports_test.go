package cuda_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
	_ "github.com/aha-go/aha/backend/cpu"
)

// backendtest.Run compares what each backend claims to support with what its
// cases do.
func TestItHasTheOpsOfTheCPU(t *testing.T) {
	emulated(t)
	b, cpu := backendtest.Open(t, "cuda:0"), backendtest.Open(t, "cpu")
	var theirs []string
	for _, op := range append(backendtest.Ops(), "Pack") {
		if op == "MoEWeights" { // a fused op without a kernel here, which is decomposed
			continue
		}
		has := false
		for _, dt := range []backend.DType{backend.F32, backend.F64, backend.BF16, backend.I32, backend.I8, backend.E4M3,
			backend.F16, backend.E5M2} {
			here, there := backend.Supports(b, op, dt), backend.Supports(cpu, op, dt)
			if here != there {
				t.Errorf("Supports(%q, %s) is %t here and %t on the CPU", op, dt, here, there)
			}
			has = has || there
		}
		if has && op != "Pack" { // Pack has no cases
			theirs = append(theirs, op)
		}
	}
	slices.Sort(theirs)
	if diff := cmp.Diff(theirs, slices.Sorted(slices.Values(supported))); diff != "" {
		t.Errorf("supported ops of the CPU (-) and here (+):\n%s", diff)
	}
}
