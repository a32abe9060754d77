package train_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
)

// counting is a text in which each token is the successor of the one before.
type counting struct{ vocab, length int }

// Batch returns one sequence that begins with the number of the step.
func (c counting) Batch(step int) ([]model.Sequence, error) {
	q := model.Sequence{IDs: make([]int32, c.length)}
	for i := range q.IDs {
		q.IDs[i] = int32((step + i) % c.vocab)
	}
	return []model.Sequence{q}, nil
}

// A V3-style model with multi-token prediction learns to count, with a custom loss that
// gives less weight to confident predictions.
func ExampleTrainer() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	cfg := model.Tiny(32)
	cfg.NumHiddenLayers, cfg.HiddenSize, cfg.IntermediateSize, cfg.MoEIntermediateSize = 2, 32, 64, 16
	m, err := model.New(b, cfg, 1)
	if err != nil {
		log.Fatal(err)
	}
	d, err := mtp.New(m)
	if err != nil {
		log.Fatal(err)
	}
	t := train.Trainer{Model: m, Drafter: d, Optimizer: train.Muon{LR: 1e-2}, Steps: 60}
	t.Schedule = train.WarmUp(5, train.Linear(30, 60, 0.1))
	t.Loss = func(s *tensor.Scope, b model.Batch) tensor.Tensor {
		return t.Assemble(s, b, func(out model.Output) tensor.Tensor {
			lp := out.LogProbs(b.Targets) // [N]; the full logits are never in memory
			w := tensor.Mul(b.Weight, tensor.Detach(tensor.Exp(tensor.Scale(lp, -.5))))
			t.Observe(train.MetricLMLoss, tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, lp))))
			return tensor.Neg(tensor.Sum(tensor.Mul(w, lp)))
		})
	}
	t.OnStep = func(x train.Metrics) {
		if x.Step == 1 || x.Step == t.Steps {
			loss := x.Values[train.MetricLMLoss]
			fmt.Printf("step %d: above one nat: %v, below a tenth: %v\n", x.Step, loss > 1, loss < 0.1)
		}
	}
	if err := t.Run(context.Background(), counting{vocab: cfg.VocabSize, length: 40}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// step 1: above one nat: true, below a tenth: false
	// step 60: above one nat: false, below a tenth: true
}
