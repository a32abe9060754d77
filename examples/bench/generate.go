package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

const (
	promptTokens = 128
	newTokens    = 32 // decoded after the first one
)

func checkModel(o options, shape string) error {
	_, err := o.cut(shape)
	return err
}

// measureDecode times the decoding of the tokens after the first one.
func measureDecode(ctx context.Context, b *bench, t task) error {
	g, err := b.generation(t)
	if err != nil {
		return err
	}
	middle := float64(g.prompt) + float64(newTokens+1)/2
	work := g.demand.decode(float64(g.sequences), middle)
	res, err := b.rounds(ctx, work, func() ([]float64, error) {
		_, decode, err := g.run(ctx, newTokens)
		return []float64{decode / newTokens}, err
	})
	if err != nil {
		return err
	}
	return b.emit(res.rate(t.line(b, g.memory), 0, float64(g.sequences), "tok/s", work))
}

// measurePrefill times the work from the start of the prompt until the first
// token is sampled.
func measurePrefill(ctx context.Context, b *bench, t task) error {
	g, err := b.generation(t)
	if err != nil {
		return err
	}
	work := g.demand.prefill(float64(g.sequences), float64(g.prompt))
	res, err := b.rounds(ctx, work, func() ([]float64, error) {
		prefill, _, err := g.run(ctx, 0)
		return []float64{prefill}, err
	})
	if err != nil {
		return err
	}
	return b.emit(res.rate(t.line(b, g.memory), 0, float64(g.sequences*g.prompt), "tok/s", work))
}

// generation is a model with random weights, its generator and its prompts.
type generation struct {
	shape             string
	format            format
	m                 *model.Model
	g                 *model.Generator
	prompts           [][]int32
	sequences, prompt int
	demand            demand
	memory            backend.Memory // of model and generator
}

// generation returns the model and prompts of t. It reuses those of the task
// before if shape and format are the same, since drawing billions of random
// weights takes longer than measuring.
func (b *bench) generation(t task) (*generation, error) {
	if g := b.last; g != nil && g.shape == t.shape && g.format == t.format {
		return g, nil
	}
	b.free()
	g, err := newGeneration(b, t)
	if err != nil {
		return nil, err
	}
	b.last = g
	return g, nil
}

// free frees the model and generator that the last task left.
func (b *bench) free() {
	if b.last != nil {
		b.last.g.Close()
		b.last.m.Free()
		b.last = nil
		runtime.GC() // so that the next model can reuse the memory of this one
	}
}

func newGeneration(b *bench, t task) (*generation, error) {
	g := &generation{shape: t.shape, format: t.format, sequences: cmp.Or(b.Batch, 1), prompt: cmp.Or(b.Context,
		promptTokens)}
	config, err := b.cut(t.shape)
	if err != nil {
		return nil, err
	}
	length := g.prompt + 1 + newTokens
	if length > config.MaxPositionEmbeddings {
		return nil, fmt.Errorf("%d tokens, max_position_embeddings is %d", length, config.MaxPositionEmbeddings)
	}
	config.MaxPositionEmbeddings = length // limits the RoPE table to the positions in use
	r := rand.New(rand.NewPCG(1, 0))
	for range g.sequences {
		prompt := make([]int32, g.prompt)
		for i := range prompt {
			prompt[i] = r.Int32N(int32(config.VocabSize))
		}
		g.prompts = append(g.prompts, prompt)
	}
	options := model.Options{Format: backend.Format(t.format), Tables: backend.Format(t.format), Packed: true,
		Absorbed: config.IsMLA(), Precision: b.precision}
	size := model.GeneratorOptions{Slots: g.sequences, MaxLen: length, PrefillRows: g.sequences * g.prompt}
	if g.memory, err = model.GeneratorMemory(b.b, config, options, size, g.requests(newTokens)); err != nil {
		return nil, err
	}
	if err := b.holds(g.memory); err != nil {
		return nil, err
	}
	if g.m, err = model.NewWith(b.b, config, 1, options); err != nil {
		return nil, err
	}
	g.demand = demandOf(g.m)
	if g.g, err = model.NewGenerator(g.m, size); err != nil {
		g.m.Free()
		return nil, err
	}
	return g, nil
}

// requests returns a request for each prompt that generates 1 + after tokens.
func (g *generation) requests(after int) []model.Request {
	requests := make([]model.Request, len(g.prompts))
	for i, p := range g.prompts {
		requests[i] = model.Request{Prompt: p, MaxTokens: 1 + after, Stop: []int32{}, Sampling: model.Sampling{Greedy: true}}
	}
	return requests
}

// run generates 1 + after tokens for each prompt. It returns the seconds until the
// first tokens are sampled, and the seconds that the tokens after them take.
func (g *generation) run(ctx context.Context, after int) (prefill, decode float64, err error) {
	clock := &steps{Context: ctx}
	if _, err := g.g.Generate(clock, g.requests(after)); err != nil {
		return 0, 0, err
	}
	end := time.Now()
	first := end
	if after > 0 {
		first = clock.began[1]
	}
	return first.Sub(clock.began[0]).Seconds(), end.Sub(first).Seconds(), nil
}

// steps is a context that records when each step of a generation begins: the
// generator calls the context's Err before each step.
type steps struct {
	context.Context
	began []time.Time
}

func (s *steps) Err() error {
	s.began = append(s.began, time.Now())
	return s.Context.Err()
}
