package train

import (
	"bytes"
	"io"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// flops is a decorator as a user might write one: it counts the operations of matrix
// products.
type flops struct {
	backend.Decorator
	n int
}

func (f *flops) Do(op backend.Op) error {
	switch o := op.(type) {
	case *backend.MatMul:
		f.n += 2 * o.C.Len() * o.A.Dim(-1)
	case *backend.GroupedMatMul:
		f.n += 2 * o.C.Len() * o.A.Dim(-1)
	}
	return f.Backend.Do(op)
}

// A decorator is not part of a run's identity: a run that was started with one resumes
// without it, and vice versa, bit for bit.
func TestRunsResumeWithAndWithoutADecorator(t *testing.T) {
	counter := &flops{}
	on := func(t *testing.T, decorated bool, dir string, steps int) *Trainer {
		var b backend.Backend = newCPU(t)
		if decorated {
			counter.Backend = b
			b = backend.Trace(counter, io.Discard)
		}
		m, err := model.NewWith(b, small(), 7, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tr := &Trainer{
			Model: m, Drafter: newMTP(t, m), Optimizer: AdamW{LR: 1e-2}, Steps: steps, MaxRows: 20,
			BalanceAlpha: 1e-4, EMADecay: 0.9, Dir: dir, Seed: 3,
		}
		t.Cleanup(tr.Close)
		return tr
	}
	plain, err := on(t, false, "", 1).identity()
	if err != nil {
		t.Fatal(err)
	}
	decorated, err := on(t, true, "", 1).identity()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain, decorated) {
		t.Errorf("identity\n%s\nunder a decorator\n%s", plain, decorated)
	}
	want := mustRun(t, on(t, false, "", 4))
	for _, first := range []bool{true, false} {
		dir := t.TempDir()
		counter.n = 0
		mustRun(t, on(t, first, dir, 2))
		second := on(t, !first, dir, 4)
		if _, err := second.Resume(); err != nil || second.StepCount() != 2 {
			t.Errorf("started with a decorator: %t; resumed at step %d, error %v", first, second.StepCount(), err)
			continue
		}
		if got := mustRun(t, second); got != want {
			t.Errorf("started with a decorator: %t; the resumed run ends with different weights", first)
		}
		if counter.n == 0 {
			t.Error("the decorator saw no products")
		}
	}
}
