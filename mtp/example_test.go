package mtp_test

import (
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

// Add the loss of the modules to the loss of the model, for one sequence.
func Example() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	cfg := model.Tiny(32)
	cfg.NumNextNPredictLayers = 1
	m, err := model.New(b, cfg, 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	modules, err := mtp.New(m)
	if err != nil {
		log.Fatal(err)
	}

	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	seqs := []model.Sequence{{IDs: []int32{3, 1, 4, 1, 5, 9}}}
	batch := m.NewBatch(s, seqs, model.Totals(seqs))
	out := m.Forward(s, batch)
	logProb, _ := tensor.LogProbs(out.Hidden, m.Head, batch.Targets, 1)
	main := tensor.Neg(tensor.Sum(tensor.Mul(logProb, batch.Weight)))
	extra, _ := modules.Loss(s, out, batch)
	if err := s.Backward(tensor.Add(main, extra)); err != nil {
		log.Fatal(err)
	}
	missing := 0
	for _, p := range modules.Params() {
		if p.Trainable && !p.HasGrad() {
			missing++
		}
	}
	fmt.Printf("%d module, %d trainable parameters without a gradient\n", len(modules.Modules), missing)
	// Output:
	// 1 module, 0 trainable parameters without a gradient
}
