package main

import (
	"context"
	"fmt"
	"io"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// heldOut returns the mean of −log p over the characters of seqs, in nats.
func heldOut(ctx context.Context, m *model.Model, seqs []model.Sequence) (float64, error) {
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	totals, loss := model.Totals(seqs), 0.0
	for _, micro := range model.MicroBatches(seqs, batch) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		b := m.NewBatch(s, micro, totals)
		part, err := tensor.Sum(tensor.Mul(b.Weight, m.Forward(s, b).LogProbs(b.Targets))).Item()
		if err != nil {
			return 0, err
		}
		loss -= part
		s.Reset()
	}
	return loss, nil
}

// write prints what the model writes after the beginning of the held-out text, up to the length of its context.
func write(ctx context.Context, w io.Writer, m *model.Model, t *text, seed uint64) error {
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1, MaxLen: window})
	if err != nil {
		return err
	}
	defer gen.Close()
	prompt := t.held[0].IDs[:32]
	answers, err := gen.Generate(ctx, []model.Request{{Prompt: prompt, MaxTokens: window - len(prompt), Seed: seed,
		Sampling: model.Sampling{Temperature: 0.8}}})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "sample after %q:\n%s\n", t.vocabulary.Decode(prompt), t.vocabulary.Decode(answers[0].Tokens))
	return err
}

// config is V3's architecture in small, for vocab characters: latent attention, a dense layer, and layers of 8 experts
// of which 2 and a shared one work on each character.
func config(vocab int) model.Config {
	c := model.Tiny(vocab)
	c.MaxPositionEmbeddings = window
	c.NumNextNPredictLayers = 0
	return c
}
