package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
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

// measureDecode times the tokens after the first one.
func measureDecode(ctx context.Context, b *bench, t task) error {
	g, err := newGeneration(b, t, newTokens)
	if err != nil {
		return err
	}
	defer g.close()
	middle := float64(g.prompt) + float64(newTokens+1)/2
	work := g.demand.decode(float64(g.sequences), middle)
	res, err := b.rounds(ctx, work, func() ([]float64, error) {
		_, decode, err := g.run(ctx)
		return []float64{decode / newTokens}, err
	})
	if err != nil {
		return err
	}
	return b.emit(res.rate(t.line(b), 0, float64(g.sequences), "tok/s", work))
}

// measurePrefill times the prompt until its first token is drawn.
func measurePrefill(ctx context.Context, b *bench, t task) error {
	g, err := newGeneration(b, t, 0)
	if err != nil {
		return err
	}
	defer g.close()
	work := g.demand.prefill(float64(g.sequences), float64(g.prompt))
	res, err := b.rounds(ctx, work, func() ([]float64, error) {
		prefill, _, err := g.run(ctx)
		return []float64{prefill}, err
	})
	if err != nil {
		return err
	}
	return b.emit(res.rate(t.line(b), 0, float64(g.sequences*g.prompt), "tok/s", work))
}

// generation is a model with random weights and the requests it answers.
type generation struct {
	m                 *model.Model
	g                 *model.Generator
	requests          []model.Request
	sequences, prompt int
	demand            demand
}

func newGeneration(b *bench, t task, after int) (*generation, error) {
	g := &generation{sequences: cmp.Or(b.Batch, 1), prompt: cmp.Or(b.Context, promptTokens)}
	config, err := b.cut(t.shape)
	if err != nil {
		return nil, err
	}
	length := g.prompt + 1 + after
	if length > config.MaxPositionEmbeddings {
		return nil, fmt.Errorf("%d tokens, max_position_embeddings is %d", length, config.MaxPositionEmbeddings)
	}
	config.MaxPositionEmbeddings = length // no table of angles beyond
	if err := b.fits(fmt.Sprintf("the model in %s", t.format), modelSize(config, t.format)); err != nil {
		return nil, err
	}
	options := model.Options{Format: backend.Format(t.format), Packed: true, Absorbed: config.IsMLA()}
	if g.m, err = model.NewWith(b.b, config, 1, options); err != nil {
		return nil, err
	}
	g.demand = demandOf(g.m)
	if g.g, err = model.NewGenerator(g.m, model.GeneratorOptions{Slots: g.sequences, MaxLen: length, PrefillRows: g.sequences * g.prompt}); err != nil {
		g.m.Free()
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 0))
	for range g.sequences {
		prompt := make([]int32, g.prompt)
		for i := range prompt {
			prompt[i] = r.Int32N(int32(config.VocabSize))
		}
		g.requests = append(g.requests, model.Request{Prompt: prompt, MaxTokens: 1 + after, Stop: []int32{}})
	}
	return g, nil
}

func (g *generation) close() {
	g.g.Close()
	g.m.Free()
}

// run answers the requests once and returns the seconds until the first tokens
// are drawn and those after.
func (g *generation) run(ctx context.Context) (prefill, decode float64, err error) {
	clock := &steps{Context: ctx}
	if _, err := g.g.Generate(clock, g.requests); err != nil {
		return 0, 0, err
	}
	end := time.Now()
	first := end
	if len(clock.began) > 1 {
		first = clock.began[1]
	}
	return first.Sub(clock.began[0]).Seconds(), end.Sub(first).Seconds(), nil
}

// steps notes when the steps of a generation begin: the generator asks its
// context before each of them whether to go on.
type steps struct {
	context.Context
	began []time.Time
}

func (s *steps) Err() error {
	s.began = append(s.began, time.Now())
	return s.Context.Err()
}
