package lab

import (
	"fmt"
	"io"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
)

// Phase is a part of a run and the memory it takes.
type Phase struct {
	Name   string
	Memory backend.Memory
}

// Phases are the base training of b, on the text of its first step, and GRPO after
// it, of a model of c on device.
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
		t, err := based(d) // with its prediction modules, which stay
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

// Announce prints a line for each phase, and returns an error if device lacks the
// memory for one.
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
