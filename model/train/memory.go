package train

import (
	"context"
	"log/slog"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// Memory is what a run takes of b, known before it begins: a Trainer, its model
// included, and Steps on seqs. build makes them on the backend it is given, as the
// run itself does; here that is backend.DryRun of b. No file is touched.
//
// Tokens do not matter, lengths do. Steps on shorter sequences take up to 64 MiB more,
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
