package tensor_test

import (
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

// This example fits y = 2x + 1 by gradient descent, with a custom loss.
func Example() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	w, err := tensor.NewParam(b, "w", backend.F32, 1, 1) // [out, in]
	if err != nil {
		log.Fatal(err)
	}
	bias, err := tensor.NewParam(b, "bias", backend.F32, 1)
	if err != nil {
		log.Fatal(err)
	}
	line := tensor.Linear{W: w, Bias: bias}

	// squares is Σ(y−t)², whose gradient 2(y−t) is written by hand.
	squares := tensor.Func{
		Forward: func(s *tensor.Scope, in []tensor.Tensor) tensor.Tensor {
			d := tensor.Sub(in[0], in[1])
			return tensor.Sum(tensor.Mul(d, d))
		},
		Backward: func(s *tensor.Scope, in []tensor.Tensor, out, dOut tensor.Tensor) []tensor.Tensor {
			return []tensor.Tensor{tensor.Mul(tensor.Scale(tensor.Sub(in[0], in[1]), 2), dOut)}
		},
	}

	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	for step := range 201 {
		x := s.Float32s([]float32{-1, 0, 1, 2}, 4, 1)
		target := s.Float32s([]float32{-1, 1, 3, 5}, 4, 1)
		loss := squares.Apply(line.Forward(x), target)
		if err := s.Backward(loss); err != nil {
			log.Fatal(err)
		}
		if step%100 == 0 {
			v, err := loss.Item()
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("step %d: loss %.4f\n", step, v)
		}
		for _, p := range []*tensor.Param{w, bias} {
			if err := descend(p, 0.05); err != nil {
				log.Fatal(err)
			}
		}
		s.Reset()
	}
	v, err := w.Floats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("w = %.3f\n", v[0])
	// Output:
	// step 0: loss 36.0000
	// step 100: loss 0.0000
	// step 200: loss 0.0000
	// w = 2.000
}

// descend moves p against its gradient and clears the gradient.
func descend(p *tensor.Param, rate float64) error {
	g, err := p.Grad()
	if err != nil {
		return err
	}
	s := tensor.NewScope(p.Backend(), tensor.Options{})
	defer s.Close()
	next := tensor.Sub(s.Constant(p.Value()), tensor.Scale(s.Constant(g), rate))
	s.Do(&backend.Copy{Dst: p.Value(), Src: next.View()})
	p.Touch()
	if s.Err() != nil {
		return s.Err()
	}
	return p.ZeroGrad()
}
