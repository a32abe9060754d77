package train

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/aha-go/aha/model"
)

// EpochOrder returns a random order of n items for an epoch; the first epoch is 0.
func EpochOrder(seed uint64, epoch, n int) []int {
	return rand.New(rand.NewPCG(model.DeriveSeed(seed, "epoch", epoch), 0)).Perm(n)
}

// Epochs is a Trainer's Data over a fixed set of sequences: each epoch has every sequence
// once, in a new random order, and each step takes as many whole sequences as fit.
// Sequences are packed without padding, so the cost of a step depends on its number of
// rows.
type Epochs struct {
	Sequences []model.Sequence
	Rows      int    // maximum rows per step; a longer sequence is alone; 0 means 4096
	Seed      uint64 // seed of the orders

	ends []int     // number of steps up to the end of each epoch in deal
	deal [][]int32 // indices of the sequences of each step
}

// Steps returns the number of steps in n epochs.
func (e *Epochs) Steps(n int) int {
	if n <= 0 || len(e.Sequences) == 0 {
		return 0
	}
	for len(e.ends) < n {
		e.next()
	}
	return e.ends[n-1]
}

// Batch returns the sequences of a step; there is no last step. The result depends only on
// the exported fields and on step.
func (e *Epochs) Batch(step int) ([]model.Sequence, error) {
	if len(e.Sequences) == 0 {
		return nil, errors.New("train: no sequences to train on")
	}
	if e.Rows < 0 {
		return nil, fmt.Errorf("train: Epochs.Rows is %d, want 0 or more", e.Rows)
	}
	for len(e.deal) <= step {
		e.next()
	}
	batch := make([]model.Sequence, len(e.deal[step]))
	for i, j := range e.deal[step] {
		batch[i] = e.Sequences[j]
	}
	return batch, nil
}

// next appends the steps of one more epoch to deal.
func (e *Epochs) next() {
	limit, used := cmp.Or(e.Rows, 4096), 0
	var step []int32
	for _, i := range EpochOrder(e.Seed, len(e.ends), len(e.Sequences)) {
		n := e.Sequences[i].Rows()
		if len(step) > 0 && used+n > limit {
			e.deal = append(e.deal, step)
			step, used = nil, 0
		}
		step, used = append(step, int32(i)), used+n
	}
	e.deal = append(e.deal, step)
	e.ends = append(e.ends, len(e.deal))
}
