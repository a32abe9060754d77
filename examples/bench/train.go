package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

var trainShapes = []string{"4x256", "12x512"}

const (
	trainVocab = 512
	headDim    = 64
)

func checkTrain(_ options, shape string) error {
	_, err := trainConfig(shape, 1)
	return err
}

// trainConfig returns the config of a dense model from a shape of layers×width. Its
// SwiGLU has at least as many parameters as a feed-forward network of two matrices
// of width 4d: 3·d·f ≥ 2·d·4d with the smallest such f that is a multiple of 16.
func trainConfig(shape string, length int) (model.Config, error) {
	s, err := sizes(shape, 2)
	if err != nil {
		return model.Config{}, err
	}
	layers, width := s[0], s[1]
	if width%headDim != 0 {
		return model.Config{}, fmt.Errorf("width %d, want a multiple of %d", width, headDim)
	}
	const step = 16
	return model.Config{
		ModelType:             model.TypeLlama,
		VocabSize:             trainVocab,
		HiddenSize:            width,
		IntermediateSize:      (8*width + 3*step - 1) / (3 * step) * step,
		NumHiddenLayers:       layers,
		NumAttentionHeads:     width / headDim,
		NumKeyValueHeads:      width / headDim,
		HeadDim:               headDim,
		MaxPositionEmbeddings: length,
		HiddenAct:             "silu",
		RMSNormEps:            1e-6,
		InitializerRange:      0.02,
		RoPETheta:             1e4,
	}, nil
}

// measureTrain times whole training steps: forward, backward, AdamW.
func measureTrain(ctx context.Context, b *bench, t task) error {
	sequences, length := cmp.Or(b.Batch, 16), cmp.Or(b.Context, 128)
	config, err := trainConfig(t.shape, length)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 0))
	batch := make([]model.Sequence, sequences)
	for i := range batch {
		batch[i].IDs = make([]int32, length+1)
		for j := range batch[i].IDs {
			batch[i].IDs[j] = r.Int32N(trainVocab)
		}
	}
	build := func(d backend.Backend) (*train.Trainer, error) {
		f := backend.Format(t.format)
		m, err := model.NewWith(d, config, 1, model.Options{Format: f, Tables: f, Precision: b.precision})
		return &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 3e-4}, ClipNorm: math.Inf(1)}, err
	}
	memory, err := train.Memory(b.b, build, batch)
	if err != nil {
		return err
	}
	if err := b.holds(memory); err != nil {
		return err
	}
	trainer, err := build(b.b)
	if err != nil {
		return err
	}
	defer trainer.Model.Free()
	defer trainer.Close()
	work := demandOf(trainer.Model).train(float64(sequences), float64(length))
	res, err := b.rounds(ctx, work, b.parts(func() error {
		_, err := trainer.Step(ctx, batch)
		return err
	}))
	if err != nil {
		return err
	}
	return b.emit(res.rate(t.line(b, memory), 0, float64(sequences*length), "tok/s", work))
}
