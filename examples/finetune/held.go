package main

import (
	"context"
	"fmt"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
)

// evaluate returns the present held-out loss.
func (t *tuning) evaluate(ctx context.Context) (float64, error) {
	shown, end := progress.Watch("held-out loss", "conversations")
	defer end()
	loss, err := heldLoss(ctx, t.Trained, t.data.held, t.Rows, shown)
	if err != nil && ctx.Err() != nil {
		return 0, fmt.Errorf("evaluation stopped, the training so far is saved: %w", context.Cause(ctx))
	}
	return loss, err
}

// heldLoss returns the weighted mean of −log p over the targets of seqs. A forward pass has
// at most rows tokens, unless one conversation has more. heldLoss reports progress in
// conversations to shown.
func heldLoss(
	ctx context.Context, m *model.Model, seqs []model.Sequence, rows int, shown func(done, total int),
) (float64, error) {
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	totals := model.Totals(seqs)
	loss, done := 0.0, 0
	for _, micro := range model.MicroBatches(seqs, rows) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		b := m.NewBatch(s, micro, totals)
		part, err := tensor.Sum(tensor.Mul(b.Weight, m.Forward(s, b).LogProbs(b.Targets))).Item()
		if err != nil {
			return 0, fmt.Errorf("held-out loss: %w", err)
		}
		loss -= part
		done += len(micro)
		shown(done, len(seqs))
		s.Reset()
	}
	return loss, nil
}
