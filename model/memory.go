package model

import (
	"context"
	"slices"

	"github.com/aha-go/aha/backend"
)

// Memory is what NewWith takes of b for a model of c, known without making it:
// its code runs on backend.DryRun. The peak is above the size of the model where
// weights are drawn and packed, since each matrix is there in both forms for a
// moment. The few megabytes through which Load fills a model of
// Options.Uninitialized are not counted.
func Memory(b backend.Backend, c Config, o Options) (backend.Memory, error) {
	d := backend.DryRun(b)
	if _, err := NewWith(d, c, 0, o); err != nil {
		return backend.Memory{}, err
	}
	return d.Memory(), nil
}

// GeneratorMemory is what a model and a Generator take of b, known without making
// them, to complete requests: every one up to its MaxTokens, and with decode steps
// of all numbers of sequences, since completions that stop early leave any. Prompts
// that are read together in other numbers than here take more, see train.Memory.
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
		requests[i].Stop = []int32{} // every token is 0, which may be one that stops
	}
	if _, err := gen.Generate(context.Background(), requests); err != nil {
		return backend.Memory{}, err
	}
	if err := gen.Prepare(); err != nil {
		return backend.Memory{}, err
	}
	return d.Memory(), nil
}
