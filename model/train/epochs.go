package train

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/aha-go/aha/model"
)

// EpochOrder is the order of n things in an epoch, the first being 0.
func EpochOrder(seed uint64, epoch, n int) []int {
	return rand.New(rand.NewPCG(model.DeriveSeed(seed, "epoch", epoch), 0)).Perm(n)
}

// Epochs deals a fixed set of sequences out to the steps of a Trainer, whose Data
// it is: every sequence once in each epoch, in an order of the
// epoch's own, and as many whole ones in a step as fit. Sequences are packed
// without padding, so a step's cost is its rows.
type Epochs struct {
	Sequences []model.Sequence
	Rows      int    // most rows of a step; a longer sequence is alone; 0 means 4096
	Seed      uint64 // of the orders

	ends []int     // steps up to the end of each epoch dealt so far
	deal [][]int32 // indices of each step's sequences
}

// Steps is the number of steps that n epochs take.
func (e *Epochs) Steps(n int) int {
	if n <= 0 || len(e.Sequences) == 0 {
		return 0
	}
	for len(e.ends) < n {
		e.next()
	}
	return e.ends[n-1]
}

// Batch are the sequences of a step; there is no last step. It depends on the
// exported fields and step alone.
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

// next deals one more epoch out.
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
