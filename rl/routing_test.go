package rl

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// routed returns the config tiny with three MoE layers whose gates choose 2 of 8 experts.
func routed() model.Config {
	c := tiny()
	c.NumHiddenLayers, c.NRoutedExperts, c.InitializerRange = 4, 8, 0.3
	c.NGroup, c.TopKGroup = 1, 1
	return c
}

// newRouted returns a run of a routed model that records experts. If rollouts is not nil,
// another model with these options generates the rollouts.
func newRouted(t testing.TB, b backend.Backend, o model.Options, rollouts *model.Options) *GRPO {
	t.Helper()
	m, err := model.NewWith(b, routed(), 3, o)
	if err != nil {
		t.Fatal(err)
	}
	g := newRunOf(t, m)
	draws := m
	if rollouts != nil {
		if draws, err = model.NewWith(b, routed(), 0, *rollouts); err != nil {
			t.Fatal(err)
		}
		generator(g).Trained, g.FailOnMismatch = m, false
	}
	gen, err := model.NewGenerator(draws, model.GeneratorOptions{Slots: 8, MaxLen: 16, Experts: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gen.Close()
		if draws != m {
			draws.Free()
		}
	})
	generator(g).Generator = gen
	return g
}

// rolloutOptions has options of models that generate rollouts in another precision than F32 or
// another form of MLA.
var rolloutOptions = map[string]model.Options{
	"q8":       {Format: backend.Q8, Packed: true, Uninitialized: true},
	"bf16":     {Precision: backend.BF16},
	"absorbed": {Absorbed: true},
}

// routes is a backend that records the experts that every MoERoute dispatches to.
type routes struct {
	backend.Decorator
	seen [][]float64
}

func (r *routes) Do(op backend.Op) error {
	if err := r.Backend.Do(op); err != nil {
		return err
	}
	if route, ok := op.(*backend.MoERoute); ok {
		index, err := backend.Values(r.Backend, route.Index)
		if err != nil {
			return err
		}
		r.seen = append(r.seen, index)
	}
	return nil
}

// With RouterReplay, every update of a step dispatches the tokens of prompts and completions
// to the experts of the rollout. Without it, some tokens go to other experts, which
// moe/router_mismatch counts.
func TestRouterReplayRoutesAsTheRolloutDid(t *testing.T) {
	for name, o := range rolloutOptions {
		for _, replay := range []bool{false, true} {
			b := &routes{Decorator: backend.Decorator{Backend: openCPU(t)}}
			g := newRouted(t, b, model.Options{}, &o)
			g.RouterReplay, g.NumIterations = replay, 2
			var want [][]float64 // of each gate
			other, all := 0, 0
			g.OnRollout = func(r *Rollout) {
				want, b.seen = make([][]float64, 3), nil
				for _, s := range r.Samples {
					for i, id := range s.Experts {
						want[i/2%3] = append(want[i/2%3], float64(id))
					}
				}
			}
			for step := range 3 {
				m := mustStep(t, g)
				if len(b.seen) != 6 {
					t.Fatalf("%s: %d gates ran in the updates, want 3 twice", name, len(b.seen))
				}
				for i, got := range b.seen {
					if same := slices.Equal(got, want[i%3]); replay && !same {
						t.Errorf("%s: step %d: gate %d of update %d routes to other experts", name, step, i%3, i/3)
					}
				}
				if !replay {
					differ, choices := 0, 0
					for i, got := range b.seen[:3] {
						for at := 0; at < len(got); at += 2 {
							choices++
							if !slices.Equal(got[at:at+2], want[i][at:at+2]) {
								differ++
							}
						}
					}
					near(t, "moe/router_mismatch", m.Values[MetricRouterMismatch], float64(differ)/float64(choices), 0)
					other, all = other+differ, all+choices
				}
				t.Logf("%s, replay %t: step %d: moe/router_mismatch %.4f, sampling_logp_difference mean %.2g max %.2g", name,
					replay, step, m.Values[MetricRouterMismatch], m.Values[MetricSamplingDifferenceMean],
					m.Values[MetricSamplingDifferenceMax])
			}
			if !replay && name != "absorbed" && other == 0 { // absorbed MLA differs only by rounding
				t.Errorf("%s: none of %d choices differs: the test is not conclusive", name, all)
			}
		}
	}
}

// If the trained model itself generates the rollout, recording experts changes no bit, and
// replaying them changes no bit of a first update: the ratio stays exactly 1.
func TestReplayOfTheTrainedModelsRollout(t *testing.T) {
	for _, o := range []model.Options{{}, {Absorbed: true}, {Precision: backend.BF16}, {DType: backend.F64}} {
		var sums []string
		for _, way := range []func() *GRPO{
			func() *GRPO { // without a record
				m, err := model.NewWith(openCPU(t), routed(), 3, o)
				if err != nil {
					t.Fatal(err)
				}
				return newRunOf(t, m)
			},
			func() *GRPO { return newRouted(t, openCPU(t), o, nil) },
			func() *GRPO {
				g := newRouted(t, openCPU(t), o, nil)
				g.RouterReplay = true
				return g
			},
		} {
			g := way()
			for range 2 {
				m := mustStep(t, g) // FailOnMismatch is set
				if v, ok := m.Values[MetricRouterMismatch]; v != 0 || ok != g.Sampler.Policy().Experts {
					t.Errorf("%+v: moe/router_mismatch is %g, there %t", o, v, ok)
				}
			}
			sums = append(sums, weights(t, g))
		}
		if sums[0] != sums[1] || sums[0] != sums[2] {
			t.Errorf("%+v: weights without record, with it, replayed: %v", o, sums)
		}
	}
}

// With RouterReplay, recomputation changes no bit of a step, and another split into
// micro-batches changes its metrics by less than 1e-6 (F32).
func TestReplayRecomputedAndInMicroBatches(t *testing.T) {
	q8 := rolloutOptions["q8"]
	run := func(rows int, recompute bool) (string, map[string]float64) {
		g := newRouted(t, openCPU(t), model.Options{}, &q8)
		g.RouterReplay, g.Trainer.MaxRows, g.Trainer.Model.Recompute = true, rows, recompute
		m := mustStep(t, g)
		return weights(t, g), m.Values
	}
	sum, values := run(0, false)
	if again, _ := run(0, true); again != sum {
		t.Error("recomputation changes the weights")
	}
	_, split := run(25, false)
	for _, name := range []string{"loss", "grad_norm", MetricRouterMismatch, MetricPolicyLoss,
		MetricSamplingDifferenceMax} {
		near(t, name, split[name], values[name], 1e-6*max(1, values[name]))
	}
}

// A resumed run with replayed rollouts in Q8 gives the same bits as an uninterrupted one.
func TestReplayResumes(t *testing.T) {
	q8 := rolloutOptions["q8"]
	start := func(dir string, steps int) *GRPO {
		g := newRouted(t, openCPU(t), model.Options{}, &q8)
		g.Trainer.Dir, g.Steps, g.RouterReplay, g.NumIterations, g.Trainer.MaxRows = dir, steps, true, 2, 40
		g.Objective.Beta, g.RefSync = 0.05, 3
		generator(g).Sampling = model.Sampling{TopP: 0.9}
		return g
	}
	whole := start("", 4)
	want := mustRun(t, whole)
	dir := t.TempDir()
	got := mustRun(t, start(dir, 2))
	second := start(dir, 4)
	got = append(got, mustRun(t, second)...)
	if weights(t, second) != weights(t, whole) || !reflect.DeepEqual(got, want) {
		t.Errorf("metrics or weights differ:\n%v\n%v", got, want)
	}

	for want, change := range map[string]func(g *GRPO){
		"router_replay": func(g *GRPO) { g.RouterReplay = false },
		"rollout_model": func(g *GRPO) {
			bf16 := rolloutOptions["bf16"]
			other := newRouted(t, g.Trainer.Model.Backend(), model.Options{}, &bf16)
			generator(g).Generator = generator(other).Generator
		},
	} {
		g := start(dir, 5)
		change(g)
		err := g.Run(context.Background())
		wantError(t, err, want)
		g.Trainer.Close()
	}
}

// A record of experts has 2 bytes for each token and chosen expert.
func TestARecordOfExpertsIsSmall(t *testing.T) {
	g := newRouted(t, openCPU(t), model.Options{}, nil)
	g.OnRollout = func(r *Rollout) {
		for i, s := range r.Samples {
			rows := len(r.Prompts[s.Prompt].IDs) + len(s.IDs) - 1
			if n := reflect.TypeOf(s.Experts).Elem().Size() * uintptr(len(s.Experts)); n != uintptr(2*rows*3*2) {
				t.Errorf("sample %d: %d bytes for %d rows, 3 gates and 2 experts", i, n, rows)
			}
		}
	}
	mustStep(t, g)
}

func TestImpossibleReplaysAreRefused(t *testing.T) {
	q8 := rolloutOptions["q8"]
	dense := func() *GRPO {
		c := routed()
		c.FirstKDenseReplace = c.NumHiddenLayers
		m, err := model.New(openCPU(t), c, 1)
		if err != nil {
			t.Fatal(err)
		}
		return newRunOf(t, m)
	}
	for want, begin := range map[string]func() *GRPO{
		"GRPO.RouterReplay is set and GRPO.Trainer.Model has no experts": func() *GRPO {
			g := dense()
			g.RouterReplay = true
			return g
		},
		"GRPO.RouterReplay is set and GRPO.Sampler does not record experts": func() *GRPO {
			g := newRun(t, openCPU(t), model.Options{})
			g.RouterReplay = true
			return g
		},
		"GRPO.FailOnMismatch is set and GRPO.Sampler generates with another model": func() *GRPO {
			g := newRouted(t, openCPU(t), model.Options{}, &q8)
			g.FailOnMismatch = true
			return g
		},
		"has a bad record of experts: 3 experts for": func() *GRPO {
			g := newRouted(t, openCPU(t), model.Options{}, nil)
			s := script(g)
			write := s.write
			s.write = func(place, i int) rollout.Sample {
				x := write(place, i)
				x.Experts = []uint16{1, 2, 3}
				return x
			}
			g.RouterReplay = true
			return g
		},
	} {
		g := begin()
		before := weights(t, g)
		_, err := g.Step(context.Background())
		wantError(t, err, want)
		if weights(t, g) != before {
			t.Errorf("%s: the weights changed", want)
		}
	}
}

// A step without an update also compares its rollout with the trained model, using the
// experts of the rollout.
func TestReplayWithoutAnUpdate(t *testing.T) {
	q8 := rolloutOptions["q8"]
	difference := map[bool]float64{}
	for _, replay := range []bool{false, true} {
		g := newRouted(t, openCPU(t), model.Options{}, &q8)
		g.RouterReplay, g.SkipZeroStd = replay, true
		g.Reward.Funcs[0].Score = func(context.Context, reward.Sample) reward.Verdict {
			return reward.Verdict{Status: reward.Wrong}
		}
		difference[replay] = mustStep(t, g).Values[MetricSamplingDifferenceMean]
	}
	if !(difference[true] < difference[false]) || difference[true] == 0 {
		t.Errorf("mean differences of log-probabilities by replay: %v", difference)
	}
}

func TestMemoryOfARunThatReplays(t *testing.T) {
	b := openCPU(t)
	m, err := Memory(b, func(d backend.Backend) (*GRPO, error) {
		trained, err := model.NewWith(d, routed(), 3, model.Options{})
		if err != nil {
			return nil, err
		}
		draws, err := model.NewWith(d, routed(), 0, rolloutOptions["q8"])
		if err != nil {
			return nil, err
		}
		gen, err := model.NewGenerator(draws, model.GeneratorOptions{Slots: 8, MaxLen: 16, Experts: true})
		if err != nil {
			return nil, err
		}
		g := task(trained, gen)
		generator(g).Trained, g.FailOnMismatch, g.RouterReplay = trained, false, true
		return g, nil
	})
	if err != nil || m.Peak == 0 {
		t.Errorf("%s, error %v", fmt.Sprint(m), err)
	}
}

// Trainer.Step also accepts records of experts, and its error names a bad one.
func TestTrainerRefusesBadRecordsOfExperts(t *testing.T) {
	g := newRouted(t, openCPU(t), model.Options{}, nil)
	good := []uint16{0, 1, 2, 3, 4, 5}
	for want, seqs := range map[string][]model.Sequence{
		"sequence 1: 4 experts for 1 rows, want 6 of each row": {
			{IDs: []int32{1, 2}, Experts: good}, {IDs: []int32{1, 2}, Experts: good[:4]},
		},
		"sequence 0: row 0, layer 1: expert 8, gate 0 has 8": {{IDs: []int32{1, 2}, Experts: []uint16{0, 8, 2, 3, 4, 5}}},
		"of sequences 0 and 1 one has Experts":               {{IDs: []int32{1, 2}, Experts: good}, {IDs: []int32{1, 2}}},
	} {
		_, err := g.Trainer.Step(context.Background(), seqs)
		wantError(t, err, want)
	}
	if _, err := g.Trainer.Step(context.Background(), []model.Sequence{{IDs: []int32{1, 2}, Experts: good}}); err != nil {
		t.Error(err)
	}
}

// A critic with a separate network chooses its own experts. A critic that reads the policy's
// hidden states uses the experts of the rollout, and its first update computes the values of
// the rollout bit for bit.
func TestReplayWithACritic(t *testing.T) {
	q8 := rolloutOptions["q8"]
	for form, critic := range ppoForms {
		g := newRouted(t, openCPU(t), model.Options{}, &q8)
		critic(t, g, model.Options{})
		g.RouterReplay, g.SkipZeroStd = true, false
		mustStep(t, g) // values begin at 0
		for step := 1; step < 3; step++ {
			m := mustStep(t, g)
			if a, b := m.Values[MetricValuePrediction], m.Values[MetricValueMean]; a != b || a == 0 {
				t.Errorf("%s: step %d: mean value is %v in the rollout and %v in the first update", form, step, b, a)
			}
		}
	}
}
