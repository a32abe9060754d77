package rl

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// healthy returns the metrics of step i of a run that raises no alarm.
func healthy(i int) map[string]float64 {
	wave := math.Sin(float64(i))
	return map[string]float64{
		MetricEntropy: 1 - 0.005*float64(i), MetricTruncated: 0.1, MetricMeanLength: 100 + 2*float64(i) + wave,
		MetricClipRegionMean: 0.01, MetricRatioMin: 0.5, MetricRatioMax: 2, MetricKL: 0.002 * float64(i),
		MetricReward: 0.2 + 0.01*float64(i) + 0.01*wave, MetricRewardZeroStd: 0.3, MetricLengthCorrelation: 0.2 * wave,
		"rewards/true/mean": 0.2 + 0.005*float64(i),
	}
}

// alarmsOf returns the alarms of the last step of a run whose metrics are healthy but for
// change.
func alarmsOf(t Thresholds, steps int, change func(i int, m map[string]float64)) []string {
	var h history
	var alarms []string
	for i := range steps {
		m := healthy(i)
		change(i, m)
		alarms = t.check(h, m)
		h.add(m, t, []string{"rewards/true/mean"})
	}
	return alarms
}

// Each alarm is raised by its own condition and no other, and says what to try. A negative
// threshold disables it.
func TestAlarms(t *testing.T) {
	last := func(name string, v float64) func(int, map[string]float64) {
		return func(i int, m map[string]float64) {
			if i == 39 {
				m[name] = v
			}
		}
	}
	for name, c := range map[string]struct {
		change func(i int, m map[string]float64)
		want   []string // parts of the one alarm
		off    Thresholds
	}{
		"none": {change: func(int, map[string]float64) {}},
		"entropy": {last(MetricEntropy, 0.009), []string{"entropy collapsed", "entropy is 0.009, the limit is 0.01",
			"EpsilonHigh"}, Thresholds{MinEntropy: -1, EntropyFall: -1}},
		"entropy falls": {last(MetricEntropy, 0.09), []string{"entropy collapsed from 0.97", "EntropyCoef"},
			Thresholds{EntropyFall: -1}},
		"truncated": {last(MetricTruncated, 0.6), []string{"truncated", "MaskTruncated"}, Thresholds{MaxTruncated: -1}},
		"short": {last(MetricMeanLength, 20), []string{"length collapsed from 109", "Repetition"},
			Thresholds{LengthFall: -1}},
		"long": {last(MetricMeanLength, 500), []string{"length exploded from 109", "LossDrGRPO"},
			Thresholds{LengthGrowth: -1}},
		"clipped": {last(MetricClipRegionMean, 0.3), []string{"tokens are clipped", "NumIterations"},
			Thresholds{MaxClipRatio: -1}},
		"great ratio": {last(MetricRatioMax, 1001), []string{"ratio/max is 1001, the limit is 1000", "MiniBatches"},
			Thresholds{MaxRatio: -1}},
		"small ratio": {last(MetricRatioMin, 9e-4), []string{"ratio/min is 0.0009, the limit is 0.001", "RouterReplay"},
			Thresholds{MaxRatio: -1}},
		"NaN":      {last(MetricKL, math.NaN()), []string{"kl is NaN", "Beta"}, Thresholds{MaxKL: -1}},
		"far":      {last(MetricKL, 1.1), []string{"far from the reference", "RefSync"}, Thresholds{MaxKL: -1, KLSpike: -1}},
		"KL spike": {last(MetricKL, 0.9), []string{"kl has a spike from 0.067", "ClipNorm"}, Thresholds{KLSpike: -1}},
		"dead": {func(i int, m map[string]float64) {
			if i > 36 {
				m[MetricRewardZeroStd] = 1
			}
		}, []string{"no group has a learning signal", "is 1 for 3 steps", "harder"}, Thresholds{DeadSteps: -1}},
		"dead, but not in a row": {change: func(i int, m map[string]float64) {
			if i > 36 && i != 38 {
				m[MetricRewardZeroStd] = 1
			}
		}},
		"length is rewarded": {func(i int, m map[string]float64) { m[MetricLengthCorrelation] += 0.6 },
			[]string{"long answers are rewarded", "over 10 steps", "GroupLength"}, Thresholds{MaxLengthCorrelation: -1}},
		"exploited": {func(i int, m map[string]float64) {
			if i >= 20 {
				m["rewards/true/mean"] = 0.3 - 0.01*float64(i-20)
			}
		}, []string{"is exploited: rewards/true/mean has fallen from 0.2", "while reward has risen from", "KeepBest"},
			Thresholds{MaxFall: -1}},
		"exploited by length": {func(i int, m map[string]float64) {
			if i >= 20 {
				m["rewards/true/mean"], m[MetricReward] = 0.3-0.01*float64(i-20), 0.3
			}
		}, []string{"is exploited: rewards/true/mean has fallen from 0.2", "while completions/mean_length has risen"},
			Thresholds{MaxFall: -1}},
		"worse, but not exploited": {change: func(i int, m map[string]float64) {
			if i >= 20 {
				m["rewards/true/mean"], m[MetricReward], m[MetricMeanLength] = 0.3-0.01*float64(i-20), 0.2, 100
			}
		}},
	} {
		alarms := alarmsOf(Thresholds{}, 40, c.change)
		found := len(alarms) > 0
		for _, part := range c.want {
			found = found && slices.ContainsFunc(alarms, func(a string) bool { return strings.Contains(a, part) })
		}
		if found != (c.want != nil) || c.want == nil && len(alarms) > 0 {
			t.Errorf("%s: alarms %q, want %q", name, alarms, c.want)
		}
		if c.want != nil {
			if alarms := alarmsOf(c.off, 40, c.change); len(alarms) > 0 {
				t.Errorf("%s: disabled, but got alarms %q", name, alarms)
			}
		}
	}
}

// Two evaluations in a row that are well below the best one raise an alarm if the reward
// rises.
func TestAlarmOfEvaluations(t *testing.T) {
	name := MetricMeanAt("gsm8k", 4)
	var h history
	var got []int
	for i := range 60 {
		m := healthy(i)
		h.add(m, Thresholds{}, nil)
		if i%10 == 9 {
			e := map[string]float64{name: 0.3, MetricBestAt("gsm8k", 4): 0}
			switch i {
			case 19, 29, 49:
				e[name] = 0.2
			}
			if alarms := (Thresholds{}).checkEvaluation(h, e); len(alarms) > 0 {
				got = append(got, i)
				if len(alarms) != 1 || !strings.Contains(alarms[0], name+" has fallen from 0.3 to 0.2, while reward has risen") {
					t.Errorf("alarms %q", alarms)
				}
			}
			h.addEvaluation(e, Thresholds{})
		}
	}
	if !slices.Equal(got, []int{29}) {
		t.Errorf("alarms after evaluations %v", got)
	}
}

// The history has a bounded size and survives a round trip through JSON, even if metrics are
// not finite.
func TestHistoryIsKept(t *testing.T) {
	var h history
	for i := range 50 {
		m := healthy(i)
		if i%7 == 0 {
			m[MetricKL], m[MetricEntropy], m["rewards/true/mean"] = math.NaN(), math.Inf(1), math.NaN()
		}
		h.add(m, Thresholds{}, []string{"rewards/true/mean"})
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var back history
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, h) {
			t.Fatalf("step %d: %v, %+v, want %+v", i, err, back, h)
		}
		if len(text) > 4096 || len(h.Rows) > 10 {
			t.Fatalf("%d bytes, %d rows", len(text), len(h.Rows))
		}
	}
}

// The rewards of one group grow with the length, and those of the other fall. Differences
// between the means of groups do not count.
func TestLengthCorrelationByHand(t *testing.T) {
	r := &Rollout{Prompts: make([]rollout.Prompt, 2)}
	for i, c := range []struct {
		reward float64
		length int
	}{{1, 4}, {0, 2}, {0, 2}, {1, 4}, {9, 20}, {8, 21}, {100, 1000}} {
		r.Samples = append(r.Samples, rollout.Sample{Prompt: i / 4, IDs: make([]int32, c.length)})
		r.Rewards = append(r.Rewards, reward.Verdict{Value: c.reward, Status: reward.Correct})
	}
	r.Rewards[6].Status = reward.Error
	// Group 0 has Σdx² = 1, Σdy² = 4, Σdxdy = 2; group 1 has 0.5, 0.5 and −0.5.
	got, ok := r.lengthCorrelation()
	if want := 1.5 / math.Sqrt(1.5*4.5); !ok || math.Abs(got-want) > 1e-15 {
		t.Errorf("%g, want %g", got, want)
	}
	r.Samples, r.Rewards = r.Samples[:1], r.Rewards[:1]
	if _, ok := r.lengthCorrelation(); ok {
		t.Error("one sample has a correlation")
	}
}

// A resumed run raises the same alarms as an uninterrupted one, including those of
// evaluations.
func TestAlarmsResume(t *testing.T) {
	const steps = 8
	run := func(dir string, until int, heard map[int][]string) {
		g := newRun(t, openCPU(t), model.Options{})
		g.Trainer.Dir, g.Trainer.EvalEvery, g.Steps = dir, 1, until
		g.Trainer.Eval = func(_ context.Context, step int) (map[string]float64, error) {
			return map[string]float64{MetricMeanAt("x", 1): 1 / float64(step)}, nil
		}
		g.Reward.Funcs = append(g.Reward.Funcs, reward.Func{Name: "true", MetricOnly: true, Score: sevens})
		g.Alarms = Thresholds{Window: 2, LengthGrowth: 0.5, MaxFall: 1e-9, EntropyFall: 0.9999, MaxLengthCorrelation: 1e-9}
		g.OnAlarm = func(step int, alarms []string) { heard[step] = append(heard[step], alarms...) }
		if err := g.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		g.Trainer.Close()
	}
	want, got := map[int][]string{}, map[int][]string{}
	run(t.TempDir(), steps, want)
	dir := t.TempDir()
	for _, until := range []int{1, 3, 4, steps} {
		run(dir, until, got)
	}
	if !maps.EqualFunc(got, want, slices.Equal) || !strings.Contains(fmt.Sprint(want[steps]), "length exploded") {
		t.Errorf("alarms of a resumed run %v, want %v", got, want)
	}
}

// An alarm of several steps in a row is logged once, and again when it comes back.
func TestRepeatedAlarmsAreLoggedOnce(t *testing.T) {
	var out strings.Builder
	g := &GRPO{Trainer: &train.Trainer{Log: slog.New(slog.NewTextHandler(&out, nil))}}
	for step, alarms := range [][]string{
		{"the entropy collapsed: entropy is 0.009", "no group has a learning signal: x is 1 for 3 steps"},
		{"the entropy collapsed: entropy is 0.008", "no group has a learning signal: x is 1 for 4 steps"},
		{},
		{"the entropy collapsed: entropy is 0.007"},
	} {
		g.step = step + 1
		g.alarm(alarms)
	}
	text := out.String()
	if n := strings.Count(text, "entropy collapsed"); n != 2 || !strings.Contains(text, "step=4") {
		t.Errorf("the alarm of entropy is logged %d times, want 2:\n%s", n, text)
	}
	if n := strings.Count(text, "learning signal"); n != 1 {
		t.Errorf("the alarm of groups is logged %d times, want 1:\n%s", n, text)
	}
}
