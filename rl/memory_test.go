package rl

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
)

// A step in which every completion has its full length, none is left out, and the
// generator is prepared takes what Memory says: it fits that many bytes of a CPU,
// and not one less.
func TestMemoryOfAStepIsKnownToTheByte(t *testing.T) {
	for name, set := range map[string]func(*GRPO){
		"plain":             func(*GRPO) {},
		"micro-batches":     func(g *GRPO) { g.Trainer.MaxRows = 20 },
		"a reference model": func(g *GRPO) { g.Objective.Beta = 0.05 },
		"two passes of two": func(g *GRPO) { g.NumIterations, g.MiniBatches = 2, 2 },
		"a folder, skipped, etc.": func(g *GRPO) {
			g.Trainer.Dir, g.SkipZeroStd, g.MaskTruncated = filepath.Join(t.TempDir(), "new"), true, true
		},
	} {
		var dir string
		build := func(b backend.Backend) (*GRPO, error) {
			m, err := model.NewWith(b, tiny(), 3, model.Options{})
			if err != nil {
				return nil, err
			}
			gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 6, MaxLen: 16})
			if err != nil {
				return nil, err
			}
			g := task(m, gen)
			set(g)
			dir = g.Trainer.Dir
			return g, nil
		}
		est, err := Memory(openCPU(t), build)
		if err != nil {
			t.Fatal(err)
		}
		if dir != "" {
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s: Memory touched %s: %v", name, dir, err)
			}
		}
		step := func(b backend.Backend) error {
			g, err := build(b)
			if err != nil {
				return err
			}
			g.Trainer.Dir, g.Sampler.Stop, g.SkipZeroStd, g.MaskTruncated = "", []int32{}, false, false
			if err := g.Sampler.Generator.Prepare(); err != nil {
				return err
			}
			for range 2 {
				if _, err := g.Step(t.Context()); err != nil {
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
			defer b.Close()
			if err := step(b); (err == nil) != (limit == est.Peak) {
				t.Errorf("%s: estimated %s; with %d bytes: error %v", name, est, limit, err)
			}
		}
	}
}
