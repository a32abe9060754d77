package model_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// spoil sets one element of the parameter that affects the prompt 3, 5, 7 to x; in stacked
// expert weights it sets one element per expert. It returns the name that an error should
// have, and a function that restores the values.
func spoil(t *testing.T, p *tensor.Param, x float64) (name string, mend func()) {
	t.Helper()
	good, err := p.Floats()
	must(t, err)
	bad := append([]float64(nil), good...)
	shape := p.Shape()
	cols := shape[len(shape)-1]
	switch {
	case len(shape) == 3:
		for e := range shape[0] {
			bad[e*shape[1]*cols+cols+2] = x
		}
		name = strings.Replace(p.Name, "*", "0", 1) + "[1 2]"
	case len(shape) == 2:
		bad[5*cols+2] = x
		name = p.Name + "[5 2]"
	default:
		bad[2] = x
		name = p.Name + "[2]"
	}
	must(t, p.SetFloats(bad))
	return fmt.Sprintf("%s is %v", name, x), func() { must(t, p.SetFloats(good)) }
}

// Greedy and filtered decoding detect a non-finite weight in any parameter and name it.
func TestGeneratingWithAWeightThatIsNotFiniteNamesIt(t *testing.T) {
	b := open(t)
	for _, o := range []model.Options{{}, {Absorbed: true}, {DType: backend.F64}} {
		m, _ := newSmall(t, b, o)
		g := newGenerator(t, m, model.GeneratorOptions{Slots: 4})
		for _, s := range []model.Sampling{{Greedy: true}, {}, {Temperature: 0.7, TopK: 3}, {Temperature: 1, TopP: 0.9}} {
			reqs := []model.Request{
				{Prompt: []int32{3, 5, 7}, MaxTokens: 6, Sampling: s, Seed: 1, Stop: []int32{}},
				{Prompt: []int32{3, 5, 7}, MaxTokens: 6, Sampling: s, Seed: 2, Stop: []int32{}}, // has the same prompt
			}
			want, err := g.Generate(context.Background(), reqs)
			must(t, err)
			for _, p := range m.Params.All() {
				if strings.HasPrefix(p.Name, "model.layers.2.") { // skip MTP, which generation does not use
					continue
				}
				for _, x := range []float64{math.NaN(), math.Inf(1)} {
					name, mend := spoil(t, p, x)
					out, err := g.Generate(context.Background(), reqs)
					want := "model: generate: request 0, token 0: the logits are not finite: " + name
					if err == nil || !strings.HasPrefix(err.Error(), want) {
						t.Errorf("%s: error %v, completions %v (%+v, %+v)", name, err, out, o, s)
					}
					mend()
				}
			}
			got, err := g.Generate(context.Background(), reqs)
			must(t, err)
			for i := range got {
				if !same(got[i], want[i]) {
					t.Errorf("%+v, %+v: the restored model gives %v, want %v", o, s, got[i], want[i])
				}
			}
		}
	}
}
