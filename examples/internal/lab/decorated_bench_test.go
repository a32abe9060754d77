package lab

import (
	"slices"
	"testing"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
)

// flops is a decorator that counts the operations of matrix products.
type flops struct {
	backend.Decorator
	n int
}

func (f *flops) Do(op backend.Op) error {
	switch o := op.(type) {
	case *backend.MatMul:
		f.n += 2 * o.C.Len() * o.A.Dim(-1)
	case *backend.GroupedMatMul:
		f.n += 2 * o.C.Len() * o.A.Dim(-1)
	}
	return f.Backend.Do(op)
}

// BenchmarkGenerationUnderADecorator compares the speed of r1zero's rollout with and
// without a decorator, by the medians of interleaved runs.
func BenchmarkGenerationUnderADecorator(b *testing.B) {
	prompts := Prompts(Full.Split().Train[:32], 1)
	var requests []model.Request
	for i := range Full.Slots {
		requests = append(requests, model.Request{
			Prompt: prompts[i%len(prompts)].IDs, MaxTokens: 100, Seed: uint64(i),
			Sampling: model.Sampling{Temperature: 1}, Stop: []int32{},
		})
	}
	device, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer device.Close()
	var generators []*model.Generator
	for _, on := range []backend.Backend{device, &flops{Decorator: backend.Decorator{Backend: device}}} {
		m, err := model.New(on, Teacher(), 1)
		if err != nil {
			b.Fatal(err)
		}
		defer m.Free()
		g, err := NewGenerator(m, Full)
		if err != nil {
			b.Fatal(err)
		}
		defer g.Close()
		generators = append(generators, g)
	}
	run := func(g *model.Generator) float64 {
		began := time.Now()
		done, err := g.Generate(b.Context(), requests)
		if err != nil {
			b.Fatal(err)
		}
		tokens := 0
		for _, c := range done {
			tokens += len(c.Tokens)
		}
		return float64(tokens) / time.Since(began).Seconds()
	}
	for _, g := range generators { // warms up: records programs and packs weights
		run(g)
	}
	rates := make([][]float64, len(generators))
	for b.Loop() {
		for i, g := range generators {
			rates[i] = append(rates[i], run(g))
		}
	}
	for i, name := range []string{"plain-tok/s", "decorated-tok/s"} {
		slices.Sort(rates[i])
		b.ReportMetric(rates[i][len(rates[i])/2], name)
	}
}
