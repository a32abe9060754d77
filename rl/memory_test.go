package rl

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
)

// counting is a backend that records the peak of its allocated bytes.
type counting struct {
	backend.Decorator
	held, peak int
}

func (c *counting) Alloc(bytes int) (backend.Buffer, error) { return c.AllocFor(backend.Other, bytes) }

func (c *counting) AllocFor(h backend.Holder, bytes int) (backend.Buffer, error) {
	buf, err := c.Decorator.AllocFor(h, bytes)
	if err == nil {
		c.held += buf.Bytes()
		c.peak = max(c.peak, c.held)
	}
	return buf, err
}

func (c *counting) Free(buf backend.Buffer) {
	c.held -= buf.Bytes()
	c.Backend.Free(buf)
}

// If every completion has its full length and is in the loss, and the generator is prepared,
// a step allocates exactly the bytes that Memory returns, and runs with that limit. (It may
// run with a lower limit, since scopes free unused blocks if memory runs out.)
func TestMemoryOfAStepIsKnownToTheByte(t *testing.T) {
	for name, set := range map[string]func(*GRPO){
		"plain":                 func(*GRPO) {},
		"micro-batches":         func(g *GRPO) { g.Trainer.MaxRows = 20 },
		"a reference model":     func(g *GRPO) { g.Objective.Beta = 0.05 },
		"a critic of its own":   func(g *GRPO) { ownCritic(t, g, model.Options{}); g.Critic.Warmup, g.Steps = 3, 4 },
		"a critic on the trunk": func(g *GRPO) { g.Critic = &Critic{Head: valueHead(t, g.Trainer.Model)} },
		"two passes of two":     func(g *GRPO) { g.NumIterations, g.MiniBatches = 2, 2 },
		"corrected, resampled": func(g *GRPO) {
			g.OffPolicy, g.DynamicSampling = OffPolicy{Correction: CorrectionTokenMask, MaskThreshold: 1}, 3
		},
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
			g.Trainer.Dir, generator(g).Stop, g.SkipZeroStd, g.MaskTruncated = "", []int32{}, false, false
			if g.Critic != nil {
				g.Critic.Warmup = 0
			}
			if err := generator(g).Generator.Prepare(); err != nil {
				return err
			}
			for range 2 {
				if _, err := g.Step(t.Context()); err != nil {
					return err
				}
			}
			return nil
		}
		b, err := cpu.New(cpu.Options{MemoryLimit: est.Peak})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		c := &counting{Decorator: backend.Decorator{Backend: b}}
		if err := step(c); err != nil || c.peak != est.Peak {
			t.Errorf("%s: estimated %s, took %d bytes; error %v", name, est, c.peak, err)
		}
	}
}
