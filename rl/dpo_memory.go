package rl

import (
	"context"
	"log/slog"

	"github.com/aha-go/aha/backend"
)

// DPOMemory is what a run of DPO takes of b, known before it begins: its model and
// Trainer included, two Steps on the batch of most rows, and Evaluate on the held-out
// pairs that take most in one forward. build makes them on the backend it is given, as
// the run itself does; here that is backend.DryRun of b. No file is touched. Batches of
// other lengths may take more, see train.Memory.
func DPOMemory(b backend.Backend, build func(backend.Backend) (*DPO, error)) (backend.Memory, error) {
	dry := backend.DryRun(b)
	d, err := build(dry)
	if err != nil {
		return backend.Memory{}, err
	}
	d.Trainer.Dir, d.Trainer.Log = "", slog.New(slog.DiscardHandler)
	d.OnPrecompute, d.OnStep = nil, nil
	if err := d.check(); err != nil {
		return backend.Memory{}, err
	}
	d.shrink()
	for range 2 { // the second one finds what the first has left: gradients, blocks of activations
		if _, err := d.Step(context.Background()); err != nil {
			return backend.Memory{}, err
		}
	}
	if len(d.Held) > 0 {
		if _, err := d.Evaluate(context.Background()); err != nil {
			return backend.Memory{}, err
		}
	}
	return dry.Memory(), nil
}

// shrink leaves the pairs of the step, and those of the forward of Evaluate, that have
// the most rows.
func (d *DPO) shrink() {
	most := func(pairs []Pair, runs [][]int) (out []Pair) {
		rows, best := 0, []int(nil)
		for _, run := range runs {
			n := 0
			for _, i := range run {
				n += pairs[i].rows()
			}
			if n > rows {
				rows, best = n, run
			}
		}
		for _, i := range best {
			out = append(out, pairs[i])
		}
		return out
	}
	var steps [][]int
	for i := range max(d.Steps, 2) {
		steps = append(steps, d.deal(i))
	}
	held := make([]int, len(d.Held))
	for i := range held {
		held[i] = i
	}
	d.Pairs, d.Held, d.dealt = most(d.Pairs, steps), most(d.Held, d.runs(d.Held, held)), deck{}
}
