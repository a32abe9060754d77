package train

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
)

// A step that does not fit is an error with the largest holders; a smaller one
// then works, and Close and Free give everything back.
func TestStepsThatDoNotFitAreErrors(t *testing.T) {
	const limit = 64 << 20
	b, err := cpu.New(cpu.Options{MemoryLimit: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m, err := model.New(b, model.Tiny(), 1)
	if err != nil {
		t.Fatal(err)
	}
	sequences := func(n int) []model.Sequence {
		seqs := make([]model.Sequence, n)
		for i := range seqs {
			seqs[i].IDs = make([]int32, 65)
		}
		return seqs
	}
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}}
	if _, err := tr.Step(t.Context(), sequences(1)); err != nil {
		t.Fatal(err)
	}
	_, err = tr.Step(t.Context(), sequences(60))
	for _, want := range []string{
		"for activations do not fit: the budget is 64.0 MiB (Options.MemoryLimit)", "optimizer 13.", "gradients 6.", "parameters 6.",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	tr.Close()

	again := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}, MaxRows: 64}
	if _, err := again.Step(t.Context(), sequences(60)); err != nil {
		t.Errorf("the same step in micro-batches: %v", err)
	}
	again.Close()
	m.Free()
	if total, free := b.MemInfo(); total != limit || free != limit {
		t.Errorf("%d of %d bytes are free at the end", free, total)
	}
}
