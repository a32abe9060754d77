package rl

import (
	"context"
	"log/slog"

	"github.com/aha-go/aha/backend"
)

// DPOMemory is what a run of DPO takes of b, known before it begins: its model and
// Trainer included, the Step on the batch of most rows and the one after it, and Evaluate
// on the held-out pairs that take most in one forward. build makes them on the backend it
// is given, as the run itself does; here that is backend.DryRun of b. No file is touched.
// Batches of other lengths may take more, see train.Memory.
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

// shrink leaves the pairs of the step that has the most rows and of the one after it, in the
// order in which these have them, and those of the forward of Evaluate that has the most rows.
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
		if n := rows(d.Pairs, d.deal(i)); n > most {
			most, heaviest = n, i
		}
	}
	first, second := d.deal(heaviest), d.deal(heaviest+1)
	if len(first) < len(second) { // the last of an epoch may have fewer pairs
		first, second = second, first
	}
	d.Pairs, d.Batch = append(pick(d.Pairs, first), pick(d.Pairs, second)...), len(first)
	d.dealt = deck{order: make([]int, len(d.Pairs))}
	for i := range d.dealt.order {
		d.dealt.order[i] = i
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
