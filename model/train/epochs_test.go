package train

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
)

// named returns n sequences of different lengths, each with a different first token.
func named(n int) []model.Sequence {
	seqs := make([]model.Sequence, n)
	for i := range seqs {
		seqs[i] = model.Sequence{IDs: append([]int32{int32(i)}, make([]int32, 1+i*7%20)...)}
	}
	return seqs
}

func batch(t testing.TB, e *Epochs, step int) []model.Sequence {
	t.Helper()
	seqs, err := e.Batch(step)
	if err != nil {
		t.Fatal(err)
	}
	return seqs
}

func TestEveryEpochHasEverySequenceOnce(t *testing.T) {
	e := &Epochs{Sequences: named(50), Rows: 64, Seed: 1}
	var orders [][]int32
	from := 0
	for epoch := 1; epoch <= 4; epoch++ {
		var order []int32
		for step := from; step < e.Steps(epoch); step++ {
			rows := 0
			for _, q := range batch(t, e, step) {
				order = append(order, q.IDs[0])
				rows += q.Rows()
			}
			if rows > 64 || rows <= 64-20 && step+1 < e.Steps(epoch) {
				t.Errorf("step %d has %d rows, want at most 64, and room for another sequence only at the end of an epoch",
					step, rows)
			}
		}
		from = e.Steps(epoch)
		orders = append(orders, slices.Clone(order))
		slices.Sort(order)
		for i := range order {
			if len(order) != 50 || order[i] != int32(i) {
				t.Fatalf("epoch %d deals %v", epoch, order)
			}
		}
	}
	if slices.Equal(orders[0], orders[1]) || slices.Equal(orders[1], orders[2]) {
		t.Error("two epochs have the same order")
	}
}

func TestBatchIsAFunctionOfTheStep(t *testing.T) {
	forward, backward := &Epochs{Sequences: named(30), Rows: 50, Seed: 2}, &Epochs{Sequences: named(30), Rows: 50, Seed: 2}
	other := &Epochs{Sequences: named(30), Rows: 50, Seed: 3}
	n, differs := forward.Steps(3), false
	for step := n - 1; step >= 0; step-- {
		backward.Batch(step)
	}
	for step := range n {
		want := batch(t, forward, step)
		if got := batch(t, backward, step); !reflect.DeepEqual(got, want) {
			t.Errorf("step %d, asked for out of order, is %v, want %v", step, got, want)
		}
		differs = differs || !reflect.DeepEqual(batch(t, other, step), want)
	}
	if !differs {
		t.Error("another seed gives the same batches")
	}
}

func TestALongSequenceIsAlone(t *testing.T) {
	seqs := append(named(6), model.Sequence{IDs: make([]int32, 100)})
	e := &Epochs{Sequences: seqs, Rows: 30, Seed: 4}
	for step := range e.Steps(2) {
		b := batch(t, e, step)
		for _, q := range b {
			if q.Rows() == 99 && len(b) > 1 {
				t.Errorf("step %d: a sequence of 99 rows with %d others in a budget of 30", step, len(b)-1)
			}
		}
	}
}

func TestNothingToTrainOnIsAnError(t *testing.T) {
	_, err := (&Epochs{Sequences: named(3), Rows: -1}).Batch(0)
	if err == nil || !strings.Contains(err.Error(), "Epochs.Rows is -1") {
		t.Errorf("negative Rows: %v", err)
	}
	e := &Epochs{}
	if _, err := e.Batch(0); err == nil || e.Steps(3) != 0 {
		t.Errorf("no sequences: error %v, %d steps", err, e.Steps(3))
	}
	if n := (&Epochs{Sequences: named(3)}).Steps(0); n != 0 {
		t.Errorf("no epochs take %d steps", n)
	}
}
