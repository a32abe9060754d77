package rl

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// scripted is a Sampler that returns samples made by a function, and records its calls.
type scripted struct {
	policy rollout.Policy
	write  func(place, i int) rollout.Sample // makes completion i of the prompt at a place
	refuse error
	draws  []rollout.Draw
}

func (s *scripted) Sample(_ context.Context, prompts []rollout.Prompt, d rollout.Draw) ([]rollout.Sample, error) {
	s.draws = append(s.draws, d)
	var out []rollout.Sample
	for p := range prompts {
		for i := range d.N {
			out = append(out, s.write(d.First+p, i))
		}
	}
	return out, nil
}

func (s *scripted) Check([]rollout.Prompt) error { return s.refuse }

func (s *scripted) Policy() rollout.Policy { return s.policy }

// script sets g's Sampler to a scripted one: sample i of a prompt is i+1 sevens.
func script(g *GRPO) *scripted {
	s := &scripted{policy: g.Sampler.Policy()}
	s.write = func(place, i int) rollout.Sample {
		x := rollout.Sample{Prompt: place, IDs: slices.Repeat([]int32{7}, i+1), LogProbs: make([]float64, i+1)}
		x.Text = hexText(x.IDs)
		return x
	}
	g.Sampler, g.FailOnMismatch = s, false
	g.Reward.Funcs[0].Score = countSevens
	return s
}

// countSevens rewards a completion by the number of its sevens.
func countSevens(_ context.Context, s reward.Sample) reward.Verdict {
	return reward.Verdict{Value: float64(strings.Count(s.Completion, "7")), Status: reward.Wrong}
}

func TestAnySamplerFeedsTheLoop(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	s := script(g)
	m := mustStep(t, g).Values
	// The samples of each of four groups have 1 to 4 sevens, with mean 2.5.
	near(t, "reward", m[MetricReward], 2.5, 0)
	near(t, "mean length", m[MetricMeanLength], 2.5, 0)
	if len(s.draws) != 1 || s.draws[0].N != 4 || s.draws[0].First != 0 {
		t.Errorf("draws %+v", s.draws)
	}
	s.draws = nil
	prompts, err := g.Data(0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := (&Evaluation{Sampler: s, Reward: g.Reward, N: 2, Chunk: 3}).Run(t.Context(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.draws) != 2 || s.draws[0].Seed != s.draws[1].Seed || s.draws[1].First != 3 || len(r.Samples) != 8 {
		t.Errorf("draws %+v, %d samples", s.draws, len(r.Samples))
	}
}

func TestWhatASamplerMustNotReturnIsNamed(t *testing.T) {
	for want, spoil := range map[string]func(s *scripted){
		"sample 3 is of prompt 5, want 0": func(s *scripted) {
			write := s.write
			s.write = func(place, i int) rollout.Sample {
				x := write(place, i)
				if i == 3 {
					x.Prompt = 5
				}
				return x
			}
		},
		"sample 0 has 1 tokens and 0 log-probabilities": func(s *scripted) {
			s.write = func(place, _ int) rollout.Sample {
				return rollout.Sample{Prompt: place, IDs: []int32{7}}
			}
		},
		"sample 0 has 0 tokens": func(s *scripted) {
			s.write = func(int, int) rollout.Sample { return rollout.Sample{} }
		},
		"generates with another model": func(s *scripted) { s.policy.Model = nil },
		"is greedy":                    func(s *scripted) { s.policy.Sampling.Greedy = true },
		"GRPO.Sampler: out of order":   func(s *scripted) { s.refuse = errors.New("out of order") },
	} {
		g := newRun(t, openCPU(t), model.Options{})
		spoil(script(g))
		before := weights(t, g)
		_, err := g.Step(context.Background())
		wantError(t, err, want)
		if weights(t, g) != before {
			t.Errorf("%s: the weights changed", want)
		}
		if s := g.Sampler.(*scripted); strings.HasPrefix(want, "sample ") {
			prompts, err := g.Data(0)
			if err == nil {
				_, err = (&Evaluation{Sampler: s, Reward: g.Reward, N: 4}).Run(t.Context(), prompts)
			}
			wantError(t, err, want)
		}
	}
}

// GRPO.Advantages sets the advantage of each token in the loss and the metrics.
func TestAdvantagesByToken(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	script(g)
	own := func(r *Rollout) [][]float64 {
		all := make([][]float64, len(r.Samples))
		for i, s := range r.Samples {
			for j := range s.IDs {
				all[i] = append(all[i], float64(100*i+j)+r.Advantages.Value[i])
			}
		}
		return all
	}
	g.Advantages = own
	var want, got []float64
	g.OnRollout = func(r *Rollout) {
		for i, row := range own(r) {
			want = append(append(want, make([]float64, len(r.Prompts[r.Samples[i].Prompt].IDs)-1)...), row...)
		}
	}
	g.Loss = func(tokens Tokens) tensor.Tensor {
		var err error
		if got, err = tokens.Advantage.Values(); err != nil {
			t.Fatal(err)
		}
		return g.Objective.Loss(tokens)
	}
	m := mustStep(t, g).Values
	for i := range want {
		want[i] = float64(float32(want[i]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the loss sees %v, want %v", got, want)
	}
	near(t, "policy_loss", m[MetricPolicyLoss], m["loss"], 1e-4)

	for text, bad := range map[string][][]float64{
		"advantages of 0 samples, want 16":                   nil,
		"returned 2 values for sample 0, which has 1 tokens": append([][]float64{{1, 2}}, make([][]float64, 15)...),
		"returned NaN for token 0 of sample 0":               append([][]float64{{math.NaN()}}, make([][]float64, 15)...),
		"returned 0 values for sample 1, which has 2 tokens": append([][]float64{{1}}, make([][]float64, 15)...),
	} {
		g := newRun(t, openCPU(t), model.Options{})
		script(g)
		g.Advantages = func(*Rollout) [][]float64 { return bad }
		_, err := g.Step(context.Background())
		wantError(t, err, text)
	}
}

func TestMemoryIsOfGenerators(t *testing.T) {
	b := openCPU(t)
	g := newRun(t, b, model.Options{})
	script(g)
	_, err := Memory(b, func(backend.Backend) (*GRPO, error) { return g, nil })
	if err == nil || !strings.Contains(err.Error(), "GRPO.Sampler is *rl.scripted") {
		t.Errorf("error %v", err)
	}
}

// A TopP of 1 keeps every token and gives the same bits as 0.
func TestTopPOfOneTrainsAsNone(t *testing.T) {
	var after []string
	for _, topP := range []float64{0, 1} {
		g := newRun(t, openCPU(t), model.Options{})
		generator(g).Sampling.TopP = topP
		mustStep(t, g)
		after = append(after, weights(t, g))
	}
	if after[0] != after[1] {
		t.Error("the weights differ")
	}
}
