package backend_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// flops counts the floating-point operations of matrix products.
type flops struct {
	backend.Decorator
	n int
}

func (f *flops) Do(op backend.Op) error {
	switch o := op.(type) {
	case *backend.MatMul:
		f.n += 2 * o.C.Len() * o.A.Dim(-1)
	case *backend.GroupedMatMul:
		f.n += 2 * o.C.Len() * o.A.Dim(-1)
	}
	return f.Backend.Do(op)
}

// A decorator with one method counts the operations of a model's matrix products. The
// model uses the same packed weights and kernels as without it.
func ExampleDecorator() {
	cpu, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer cpu.Close()
	b := &flops{Decorator: backend.Decorator{Backend: cpu}}
	m, err := model.New(b, model.Tiny(32), 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1, MaxLen: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	for _, tokens := range []int{1, 2, 3} { // the prompt's forward pass yields the first one
		b.n = 0
		request := model.Request{
			Prompt: []int32{1, 2, 3}, MaxTokens: tokens, Stop: []int32{}, Sampling: model.Sampling{Greedy: true},
		}
		if _, err := g.Generate(context.Background(), []model.Request{request}); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d new tokens: %.2f MFLOP\n", tokens, float64(b.n)/1e6)
	}
	fmt.Println("the kernels are those of the CPU:", backend.Path(b) == backend.Path(cpu))
	// Output:
	// 1 new tokens: 5.00 MFLOP
	// 2 new tokens: 6.67 MFLOP
	// 3 new tokens: 8.34 MFLOP
	// the kernels are those of the CPU: true
}
