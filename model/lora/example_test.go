package lora_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/lora"
	"github.com/aha-go/aha/model/train"
)

// Train adapters of a few projections to count, with frozen weights, and merge them into
// the weights.
func ExampleAttach() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	m, err := model.New(b, model.Tiny(32), 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	adapters, err := lora.Attach(m, lora.Config{
		Rank: 4, Alpha: 8, Targets: []string{"q_b_proj", "o_proj", "layers.0.mlp.down_proj"},
	})
	if err != nil {
		log.Fatal(err)
	}
	var losses []float64
	t := train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: 3e-2}, Steps: 40,
		OnStep: func(m train.Metrics) { losses = append(losses, m.Values[train.MetricLMLoss]) },
	}
	defer t.Close()
	err = t.Run(context.Background(), train.DataFunc(func(int) ([]model.Sequence, error) {
		return []model.Sequence{{IDs: []int32{1, 2, 3, 4, 5, 6, 7, 8}}}, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the loss halves:", losses[39] < losses[0]/2)
	if err := adapters.Merge(); err != nil { // model.Save then writes a model without adapters
		log.Fatal(err)
	}
	fmt.Println(adapters.Names()[0])
	// Output:
	// the loss halves: true
	// model.layers.0.self_attn.q_b_proj
}
