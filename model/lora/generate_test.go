package lora

import (
	"slices"
	"testing"

	"github.com/aha-go/aha/model"
)

// A Generator that was already used follows adapters that are attached, merged and unmerged
// later.
func TestAGeneratorFollowsAdapters(t *testing.T) {
	m := loadModel(t, "qwen3", model.Options{})
	used, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1, MaxLen: 16})
	must(t, err)
	defer used.Close()
	sums := func(g *model.Generator) []float64 {
		c, err := g.Generate(t.Context(), []model.Request{
			{Prompt: []int32{0, 1}, MaxTokens: 12, Stop: []int32{}, Sampling: model.Sampling{Greedy: true}},
		})
		must(t, err)
		return c[0].LogProbs
	}
	fresh := func() []float64 {
		g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1, MaxLen: 16})
		must(t, err)
		defer g.Close()
		return sums(g)
	}
	base := sums(used)
	a := adapt(t, m)
	disturb(t, a)
	adapted := sums(used)
	if slices.Equal(adapted, base) {
		t.Error("the adapters change nothing")
	}
	if !slices.Equal(adapted, fresh()) {
		t.Error("a used generator and a new one differ with adapters")
	}
	must(t, a.Merge())
	if got := sums(used); !slices.Equal(got, fresh()) {
		t.Error("a used generator and a new one differ after Merge")
	}
}
