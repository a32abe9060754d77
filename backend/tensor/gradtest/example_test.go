package gradtest_test

import (
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

// This example tests the gradients of a custom loss.
func Example() {
	_ = func(t *testing.T) {
		b, err := cpu.New(cpu.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ps := tensor.NewParams(b, tensor.Init{Seed: 1, Std: 1, DType: backend.F64})
		w := ps.Matrix("w", 3, 4)
		gradtest.Check(t, ps.All(), func(s *tensor.Scope) tensor.Tensor {
			y := tensor.Tanh(w.In(s))
			return tensor.Sum(tensor.Mul(y, y))
		}, gradtest.Options{})
	}
}
