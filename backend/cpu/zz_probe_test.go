package cpu_test

import (
	"testing"

	"github.com/aha-go/aha/backend/backendtest"
)

func TestProbe(t *testing.T) {
	b := backendtest.Open(t, "cpu")
	n := 0
	for seed := uint64(30000); seed < 50000; seed++ {
		c := backendtest.RandomCase(seed)
		for _, r := range []backendtest.Result{backendtest.Check(b, c), backendtest.CheckDecomposed(b, c)} {
			if !r.OK() && n < 20 {
				n++
				t.Error(r)
			}
		}
	}
}
