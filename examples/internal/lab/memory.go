package lab

import (
	"fmt"
	"io"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
)

// Phase is a part of a run and the memory that it needs.
type Phase struct {
	Name   string
	Memory backend.Memory
}

// Phases returns the phases of a run with a model of config c on device, base training and
// GRPO, with the memory that they need. Base training is measured on its first batch.
func (b Base) Phases(device backend.Backend, c model.Config, o model.Options) ([]Phase, error) {
	based := func(d backend.Backend) (*train.Trainer, error) {
		m, err := model.NewWith(d, c, b.Seed, o)
		if err != nil {
			return nil, err
		}
		return b.trainer(m)
	}
	base, err := train.Memory(device, based, sequences(b.batches().Batch(0)))
	if err != nil {
		return nil, err
	}
	grpo, err := rl.Memory(device, func(d backend.Backend) (*rl.GRPO, error) {
		t, err := based(d) // the modules of multi-token prediction stay in memory during GRPO
		if err != nil {
			return nil, err
		}
		g, err := NewGenerator(t.Model, b.Scale)
		if err != nil {
			return nil, err
		}
		return GRPO(&train.Trainer{Model: t.Model, Seed: b.Seed}, g, b.Scale), nil
	})
	return []Phase{{"base model", base}, {"GRPO", grpo}}, err
}

// Announce prints the memory that each phase needs. It returns an error if device does not
// have enough for one of them.
func Announce(w io.Writer, device backend.Backend, phases []Phase) error {
	for _, p := range phases {
		fmt.Fprintf(w, "memory, %s: %s\n", p.Name, p.Memory)
	}
	for _, p := range phases {
		if err := p.Memory.Fits(device); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}
