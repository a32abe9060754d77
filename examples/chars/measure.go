package main

import (
	"context"
	"fmt"
	"io"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// heldOut returns the mean cross-entropy of m over the characters of seqs, in nats.
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

// write prints how the model continues the first 32 characters of the held-out text, up to the end of its context.
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

// config returns a small config of DeepSeek-V3's architecture for a vocabulary of vocab characters: latent attention,
// one dense layer, and MoE layers of 8 routed experts (top-2) and one shared expert.
func config(vocab int) model.Config {
	c := model.Tiny(vocab)
	c.MaxPositionEmbeddings = window
	c.NumNextNPredictLayers = 0
	return c
}
