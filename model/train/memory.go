package train

import (
	"context"
	"log/slog"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// Memory computes the memory of b that a run needs, before the run begins: that of a Trainer
// with its model, and of Steps on seqs. build makes them on the backend that it is given,
// which is backend.DryRun of b, as the run makes them on b. Memory touches no file.
//
// Tokens do not matter, lengths do. Steps on shorter sequences need up to 64 MiB more,
// since freed blocks of activations are kept for blocks of the same size.
func Memory(b backend.Backend, build func(backend.Backend) (*Trainer, error),
	seqs []model.Sequence) (backend.Memory, error) {
	d := backend.DryRun(b)
	t, err := build(d)
	if err != nil {
		return backend.Memory{}, err
	}
	t.Dir, t.Log = "", slog.New(slog.DiscardHandler)
	for range 2 { // the second one finds what the first has left: gradients, blocks of activations
		if _, err := t.Step(context.Background(), seqs); err != nil {
			return backend.Memory{}, err
		}
	}
	return d.Memory(), nil
}
