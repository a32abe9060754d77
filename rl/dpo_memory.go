package rl

import (
	"context"
	"log/slog"

	"github.com/aha-go/aha/backend"
)

// DPOMemory returns the memory that a run of DPO needs on b, without running it. It
// includes the model and its Trainer, the Step with the most rows and the step after it,
// and the largest forward pass of Evaluate. build makes the DPO, its Trainer and its model
// on the backend that it is given, which is backend.DryRun(b). No file is touched. Steps
// with batches of other lengths may need more; see train.Memory.
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
	for range 2 { // gradients and blocks of activations that the first step leaves add to the second step's
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

// shrink reduces Pairs to the pairs of the step with the most rows and of the step after
// it, in their order, and Held to the pairs of the forward pass of Evaluate with the most
// rows.
func (d *DPO) shrink() {
	rows := func(pairs []Pair, run []int) (n int) {
		for _, i := range run {
			n += pairs[i].rows()
		}
		return n
	}
	pick := func(pairs []Pair, run []int) (out []Pair) {
		for _, i := range run {
			out = append(out, pairs[i])
		}
		return out
	}
	most, heaviest := -1, 0
	for i := range max(d.Steps, 1) {
		if n := rows(d.Pairs, d.batchIndices(i)); n > most {
			most, heaviest = n, i
		}
	}
	first, second := d.batchIndices(heaviest), d.batchIndices(heaviest+1)
	if len(first) < len(second) { // the last step of an epoch may have fewer pairs
		first, second = second, first
	}
	d.Pairs, d.Batch = append(pick(d.Pairs, first), pick(d.Pairs, second)...), len(first)
	d.order = epochOrder{perm: make([]int, len(d.Pairs))}
	for i := range d.order.perm {
		d.order.perm[i] = i
	}
	held := make([]int, len(d.Held))
	for i := range held {
		held[i] = i
	}
	var best []int
	for _, run := range d.runs(d.Held, held) {
		if rows(d.Held, run) > rows(d.Held, best) {
			best = run
		}
	}
	d.Held = pick(d.Held, best)
}
