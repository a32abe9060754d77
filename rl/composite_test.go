package rl

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// composite returns a run with five reward functions. The first two do not apply to every
// other prompt, which has no gold answer, and the last one is MetricOnly.
func composite(t *testing.T, delay func()) *GRPO {
	t.Helper()
	g := newRun(t, openCPU(t), model.Options{})
	data := g.Data
	g.Data = func(step int) ([]rollout.Prompt, error) {
		prompts, err := data(step)
		for i := range prompts {
			prompts[i].Answer = []string{"7", "??"}[i%2]
		}
		return prompts, err
	}
	generator(g).Decode = func(ids []int32) string { return strings.Trim(fmt.Sprint(ids), "[]") }
	after := func(s reward.Scorer) reward.Scorer {
		return func(ctx context.Context, x reward.Sample) reward.Verdict {
			delay()
			return s(ctx, x)
		}
	}
	g.Reward = &reward.Suite{Funcs: []reward.Func{
		{Name: "math", Score: after(reward.Math{}.Score)},
		{Name: "gsm8k", Weight: 0.5, Score: after(reward.GSM8K{Flexible: true}.Score)},
		{Name: "repetition", Weight: 0.25, Score: after(reward.Repetition{N: 1}.Score)},
		{Name: "overlong", Weight: 2, Score: after(reward.SoftOverlong{MaxTokens: 8, Cache: 6}.Score)},
		{Name: "spaces", MetricOnly: true, Score: after(func(_ context.Context, s reward.Sample) reward.Verdict {
			return reward.Verdict{Value: float64(strings.Count(s.Completion, " ")), Status: reward.Wrong}
		})},
	}}
	return g
}

// The reward is the weighted sum of the functions that apply and are not MetricOnly. Each
// function has its metrics, and the order in which functions finish changes nothing.
func TestRewardsAreComposed(t *testing.T) {
	run := func(workers int, delay func()) (string, []map[string]float64) {
		g := composite(t, delay)
		g.Reward.Workers = workers
		var all []map[string]float64
		g.OnRollout = func(r *Rollout) {
			for i, got := range r.Rewards {
				want := 0.0
				for f, fn := range g.Reward.Funcs {
					v := r.Scores.Verdicts[f][i]
					if v.Status == reward.NotApplicable != (f < 2 && r.Samples[i].Prompt%2 == 1) {
						t.Errorf("sample %d of prompt %d: %s is %s", i, r.Samples[i].Prompt, fn.Name, v.Status)
					}
					if v.Status != reward.NotApplicable && !fn.MetricOnly {
						want += v.Value * cmp.Or(fn.Weight, 1)
					}
				}
				if math.Abs(got.Value-want) > 1e-12 {
					t.Errorf("sample %d has reward %g, want %g", i, got.Value, want)
				}
			}
		}
		for range 3 {
			m := mustStep(t, g)
			for _, fn := range g.Reward.Funcs {
				if _, ok := m.Values[reward.MetricMean(fn.Name)]; !ok {
					t.Errorf("no metric %s", reward.MetricMean(fn.Name))
				}
			}
			all = append(all, m.Values)
		}
		return weights(t, g), all
	}
	sum, values := run(1, func() {})
	other, others := run(16, func() { time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) })
	if sum != other {
		t.Error("the weights depend on the order in which rewards finish")
	}
	for i := range values {
		for name, v := range values[i] {
			if w, ok := others[i][name]; !ok || v != w {
				t.Errorf("step %d: %s is %g and %g", i+1, name, v, w)
			}
		}
		if len(values[i]) != len(others[i]) {
			t.Errorf("step %d: metrics %v and %v", i+1, slices.Sorted(maps.Keys(values[i])),
				slices.Sorted(maps.Keys(others[i])))
		}
	}
}
