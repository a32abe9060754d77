package model

import (
	"context"
	"slices"

	"github.com/aha-go/aha/backend"
)

// Memory returns the memory that NewWith takes of b for a model of config c, without making
// the model: it runs NewWith on backend.DryRun. If weights are initialized and packed, the
// peak exceeds the size of the model, since one matrix at a time exists in both forms. For
// a model with Options.Uninitialized, the few megabytes of buffers that Load uses are not
// included.
func Memory(b backend.Backend, c Config, o Options) (backend.Memory, error) {
	d := backend.DryRun(b)
	if _, err := NewWith(d, c, 0, o); err != nil {
		return backend.Memory{}, err
	}
	return d.Memory(), nil
}

// GeneratorMemory returns the memory that a model and a Generator take of b to complete
// requests, without making them. It assumes that every request runs to its MaxTokens, and
// that decode steps are recorded for all batch sizes, since completions may end early in
// any order. Prompts that are prefilled in other combinations than these requests may take
// more, see train.Memory.
func GeneratorMemory(b backend.Backend, c Config, o Options, g GeneratorOptions,
	requests []Request) (backend.Memory, error) {
	d := backend.DryRun(b)
	m, err := NewWith(d, c, 0, o)
	if err != nil {
		return backend.Memory{}, err
	}
	gen, err := NewGenerator(m, g)
	if err != nil {
		return backend.Memory{}, err
	}
	requests = slices.Clone(requests)
	for i := range requests {
		requests[i].Stop = []int32{} // the dry run draws token 0 only, which must not stop a completion
		requests[i].OnToken = nil
	}
	if _, err := gen.Generate(context.Background(), requests); err != nil {
		return backend.Memory{}, err
	}
	if err := gen.Prepare(); err != nil {
		return backend.Memory{}, err
	}
	return d.Memory(), nil
}
