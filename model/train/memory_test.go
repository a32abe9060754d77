package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

// A step that does not fit in memory is an error that names the largest uses. A smaller
// step then works, and Close and Free release all memory.
func TestStepsThatDoNotFitAreErrors(t *testing.T) {
	const limit = 64 << 20
	b, err := cpu.New(cpu.Options{MemoryLimit: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m, err := model.New(b, model.Tiny(32), 1)
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
		"for activations do not fit: the budget is 64.0 MiB (Options.MemoryLimit)", "optimizer 13.", "gradients 6.",
		"parameters 6.",
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

// Steps take exactly what Memory returns: they run with that many bytes on a CPU, but not
// with one byte less.
func TestMemoryOfStepsIsKnownToTheByte(t *testing.T) {
	seqs := mustBatch(t, randomText(6), 0)
	for name, set := range map[string]func(*Trainer){
		"AdamW":           func(*Trainer) {},
		"BF16 moments":    func(tr *Trainer) { tr.Optimizer = AdamW{LR: 1e-3, BF16Moments: true} },
		"Muon":            func(tr *Trainer) { tr.Optimizer = Muon{LR: 1e-3} },
		"an average":      func(tr *Trainer) { tr.EMADecay = 0.9 },
		"micro-batches":   func(tr *Trainer) { tr.MaxRows = 20 },
		"balance":         func(tr *Trainer) { tr.BalanceAlpha = 1e-4 },
		"recomputation":   func(tr *Trainer) { tr.Model.Recompute = true },
		"a new folder":    func(tr *Trainer) { tr.Dir = filepath.Join(t.TempDir(), "new") },
		"a frozen matrix": func(tr *Trainer) { tr.Model.Head.Trainable = false },
	} {
		for _, o := range []model.Options{{}, {DType: backend.F64}, {Precision: backend.BF16, Format: backend.BFloat16},
			{Absorbed: true}} {
			dir := ""
			build := func(b backend.Backend) (*Trainer, error) {
				m, err := model.NewWith(b, small(), 7, o)
				if err != nil {
					return nil, err
				}
				d, err := mtp.New(m)
				if err != nil {
					return nil, err
				}
				tr := &Trainer{Model: m, Drafter: d, Optimizer: AdamW{LR: 1e-3}}
				set(tr)
				dir = tr.Dir
				return tr, nil
			}
			est, err := Memory(newCPU(t), build, seqs)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(dir); dir != "" && !os.IsNotExist(err) {
				t.Errorf("%s: Memory touched %s: %v", name, dir, err)
			}
			steps := func(b backend.Backend) error {
				tr, err := build(b)
				if err != nil {
					return err
				}
				defer tr.Close()
				for range 2 {
					if _, err := tr.Step(t.Context(), seqs); err != nil {
						return err
					}
				}
				return nil
			}
			for _, limit := range []int{est.Peak, est.Peak - 1} {
				b, err := cpu.New(cpu.Options{MemoryLimit: limit})
				if err != nil {
					t.Fatal(err)
				}
				if err := steps(b); (err == nil) != (limit == est.Peak) {
					t.Errorf("%s, %+v: estimated %s; with %d bytes: error %v", name, o, est, limit, err)
				}
				b.Close()
			}
		}
	}
}
