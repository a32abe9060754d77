package moe_test

import (
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// Train a layer of four experts, two per token, for one step, and move the selection bias
// according to the load that the gate has counted.
func Example() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	ps := tensor.NewParams(b, tensor.Init{Seed: 1, Std: 0.3})
	defer ps.Free()
	layer := moe.New(ps, "mlp", moe.Config{
		Hidden: 8, Intermediate: 4, Experts: 4, TopK: 2, Shared: 1, Normalize: true, Bias: true,
	})
	if err := ps.Err(); err != nil {
		log.Fatal(err)
	}

	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	data := make([]float32, 16*8)
	for i := range data {
		data[i] = float32(i*i%7) - 3
	}
	out := layer.Forward(s.Float32s(data, 16, 8))
	if err := s.Backward(tensor.Mean(tensor.Mul(out.Y, out.Y))); err != nil {
		log.Fatal(err)
	}
	load, err := layer.Gate.Load()
	if err != nil {
		log.Fatal(err)
	}
	total := 0
	for _, n := range load {
		total += n
	}
	if err := layer.Gate.UpdateBias(load, 0.001, true); err != nil {
		log.Fatal(err)
	}
	if err := layer.Gate.ResetLoad(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(total, "assignments of", out.Y.Dim(0), "tokens")
	// Output:
	// 32 assignments of 16 tokens
}
