package rollout_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/lora"
	"github.com/aha-go/aha/rl/rollout"
)

// generatingWith returns a Generator that generates for g's model with another model, made
// with the options o.
func generatingWith(t *testing.T, g *rollout.Generator, o model.Options) *rollout.Generator {
	t.Helper()
	trained := g.Generator.Model()
	m, err := model.NewWith(trained.Backend(), trained.Config, 99, o)
	if err != nil {
		t.Fatal(err)
	}
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 3, MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gen.Close()
		m.Free()
	})
	d := *g
	d.Generator, d.Trained = gen, trained
	return &d
}

func sample(t *testing.T, g *rollout.Generator) []rollout.Sample {
	t.Helper()
	out, err := rollout.Complete(t.Context(), g, prompts, rollout.Draw{Seed: 4, N: 4})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// In the same precision, the other model generates the same completions bit for bit as the
// trained one after each change of its weights, whatever its initial weights are.
func TestAnotherModelDrawsWithTheTrainedWeights(t *testing.T) {
	const seed = 3
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	g := newGenerator(t)
	fresh := generatingWith(t, g, model.Options{})
	packed := generatingWith(t, g, model.Options{Format: backend.Q8, Packed: true, Uninitialized: true})
	if p := fresh.Policy(); p.Model != g.Generator.Model() || p.Drawn != fresh.Generator.Model() {
		t.Errorf("policy %+v", p)
	}
	var before []rollout.Sample
	for step := range 3 {
		want, got, q8 := sample(t, g), sample(t, fresh), sample(t, packed)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("step %d: samples %v, want %v", step, got, want)
		}
		if reflect.DeepEqual(want, before) || reflect.DeepEqual(q8, want) {
			t.Errorf("step %d: the samples do not depend on weights or format", step)
		}
		// twin is a new Q8 model that has never had other weights.
		twin := generatingWith(t, g, model.Options{Format: backend.Q8, Packed: true, Uninitialized: true})
		if !reflect.DeepEqual(sample(t, twin), q8) {
			t.Errorf("step %d: the samples of Q8 depend on earlier weights", step)
		}
		before = want
		for _, p := range g.Generator.Model().Params.All() {
			v, err := p.Floats()
			if err != nil {
				t.Fatal(err)
			}
			for i := range v {
				v[i] += 0.1 * rng.NormFloat64()
			}
			if err := p.SetFloats(v); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestModelsThatCannotDrawAreRefused(t *testing.T) {
	g := newGenerator(t)
	own := *g
	own.Trained = g.Generator.Model()
	refused(t, &own, prompts, "Generator.Trained: it is the model of Generator.Generator itself")
	refused(t, generatingWith(t, g, model.Options{DType: backend.F64}), prompts,
		"Generator.Trained: its dtype is F32, that of the model of Generator.Generator is F64")

	other := newGenerator(t)
	d := generatingWith(t, g, model.Options{})
	d.Trained = other.Generator.Model()
	refused(t, d, prompts, "Generator.Trained: it is on a backend cpu")
	d = generatingWith(t, g, model.Options{})
	d.Trained.Config.NumHiddenLayers++
	refused(t, d, prompts, "Generator.Trained: its config differs")
	d.Trained.Config.NumHiddenLayers--

	packed := generatingWith(t, g, model.Options{Format: backend.Q8, Packed: true})
	reverse := *packed
	reverse.Generator, reverse.Trained = g.Generator, packed.Generator.Model()
	refused(t, &reverse, prompts, "is packed: it has no master value")

	all := lora.Config{Rank: 2, Alpha: 4, Targets: []string{lora.AllLinear}}
	if _, err := lora.Attach(g.Generator.Model(), all); err != nil {
		t.Fatal(err)
	}
	refused(t, d, prompts, "Generator.Trained: it has the adapter")
}

func TestRecordsOfExpertsAreChecked(t *testing.T) {
	plain := newGenerator(t)
	b := plain.Generator.Model().Backend()
	c := plain.Generator.Model().Config
	c.FirstKDenseReplace = 0
	m, err := model.New(b, c, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 3, MaxLen: 16, Experts: true})
	if err != nil {
		t.Fatal(err)
	}
	defer gen.Close()
	g := *plain
	g.Generator = gen
	for _, s := range sample(t, &g) {
		if want := (len(prompts[s.Prompt].IDs) + len(s.IDs) - 1) * m.ExpertsPerRow(); len(s.Experts) != want || want == 0 {
			t.Errorf("%d experts, want %d", len(s.Experts), want)
		}
	}
	for want, spoil := range map[string]func(s []rollout.Sample){
		"sample 1 has a bad record of experts: 0 experts for": func(s []rollout.Sample) { s[1].Experts = nil },
		"sample 0 has a bad record of experts: row 0, layer 0: expert 60000": func(s []rollout.Sample) {
			s[0].Experts[1] = 60000
		},
	} {
		_, err := rollout.Complete(t.Context(), spoiled{&g, func(s []rollout.Sample) []rollout.Sample {
			spoil(s)
			return s
		}}, prompts, rollout.Draw{N: 2})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	_, err = rollout.Complete(t.Context(), spoiled{plain, func(s []rollout.Sample) []rollout.Sample {
		s[2].Experts = []uint16{1}
		return s
	}}, prompts, rollout.Draw{N: 2})
	if err == nil || !strings.Contains(err.Error(), "sample 2 has experts, Policy.Experts is false") {
		t.Errorf("error %v", err)
	}
}
