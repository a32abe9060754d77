package rl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

func TestAlarmsGoToTheLogUnlessAsked(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	var out bytes.Buffer
	g.Trainer.Log = slog.New(slog.NewTextHandler(&out, nil))
	g.Alarms.MinEntropy = 100
	mustStep(t, g)
	if !strings.Contains(out.String(), "the entropy collapsed") {
		t.Errorf("log: %q", out.String())
	}
	out.Reset()
	g.OnAlarm = func(int, []string) {}
	mustStep(t, g)
	if out.Len() > 0 {
		t.Errorf("log: %q", out.String())
	}
}

// Without a logger, alarms go to standard error.
func TestAlarmsGoToStandardErrorByDefault(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g := newRun(t, openCPU(t), model.Options{})
	g.Trainer.Log = nil
	g.Alarms = Thresholds{MinEntropy: 100, MaxTruncated: -1}
	was := os.Stderr
	os.Stderr = w
	_, stepErr := g.Step(context.Background())
	os.Stderr = was
	w.Close()
	out, err := io.ReadAll(r)
	if err := errors.Join(stepErr, err); err != nil {
		t.Fatal(err)
	}
	if text := string(out); !strings.Contains(text, "the entropy collapsed: entropy is 2.") || !strings.Contains(text,
		"step=1") {
		t.Errorf("standard error has %q", text)
	}
}

// There are four completions of two prompts, one of them without a reward. As in TRL, mean
// and deviation are those of all rewards of the batch.
func TestRewardMetricsByHand(t *testing.T) {
	r := &Rollout{
		Samples: make([]rollout.Sample, 4),
		Rewards: []reward.Verdict{
			{Value: 1, Status: reward.Correct}, {Value: 0, Status: reward.Wrong},
			{Value: 5, Status: reward.Correct}, {Status: reward.Timeout},
		},
		Scores: &reward.Scores{},
	}
	g := &GRPO{G: 2}
	if err := g.judge(r); err != nil {
		t.Fatal(err)
	}
	m := g.metrics(r, nil, nil)
	// (1 + 0 + 5)/3 = 2; squares 1 + 4 + 9 over 3 − 1.
	near(t, "reward", m.Values[MetricReward], 2, 0)
	near(t, "reward_std", m.Values[MetricRewardStd], math.Sqrt(7), 1e-15)
	near(t, "frac_reward_zero_std", m.Values[MetricRewardZeroStd], 0.5, 0)
}

// Completion a has two tokens with the ratios ½ and 2, after a prompt of two tokens.
// Completion b has one token with the ratio 1, after a prompt of one token.
func TestTokenStatisticsByHand(t *testing.T) {
	ln := math.Log
	good := rollout.Sample{IDs: []int32{1, 1}, LogProbs: []float64{ln(.4), ln(.2)}}
	bad := rollout.Sample{IDs: []int32{1}, LogProbs: []float64{ln(.5)}}
	a := newTrainSample(rollout.Prompt{IDs: []int32{0, 0}}, &good, []float64{-2, -2})
	b := newTrainSample(rollout.Prompt{IDs: []int32{0}}, &bad, []float64{1})
	a.ref, b.ref = []float64{ln(.1), ln(.4)}, []float64{ln(.5)}
	var s tokenStats
	// The first row of a predicts a token of the prompt and does not count.
	s.add(Objective{EpsilonHigh: 0.5}, []trainSample{a, b}, []float64{99, ln(.2), ln(.4), ln(.5)}, []float64{99, 1, 2, 6})
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"tokens", s.n, 3},
		// With a negative advantage the ratio ½ is clipped, and the ratio 2 is not.
		{"clipped low", s.clip.low, 1}, {"clipped high", s.clip.high, 0},
		{"least ratio", s.ratio.min, .5}, {"largest ratio", s.ratio.max, 2}, {"sum of ratios", s.ratio.sum, 3.5},
		{"largest difference", s.difference.max, ln(2)}, {"sum of differences", s.difference.sum, 2 * ln(2)},
		{"entropy", s.entropy, 9},
		// Tokens are sampled from π_old: k3(π_old ‖ π_θ) = ratio − ln ratio − 1.
		{"approximate KL", s.approxKL, (.5 + ln(2) - 1) + (2 - ln(2) - 1)},
		// π_ref/π_θ is 1/2, 1 and 1.
		{"KL to the reference", s.kl, .5 + ln(2) - 1},
	} {
		near(t, c.name, c.got, c.want, 1e-14)
	}
	var twice tokenStats // π_θ/π_old = 2
	twice.add(Objective{}, []trainSample{b}, []float64{0}, []float64{0})
	near(t, "approximate KL of a token twice as likely", twice.approxKL, 2-ln(2)-1, 1e-15)
	if !s.hasReference {
		t.Error("hasReference is not set")
	}
	a.advantages = []float64{2, 2}
	var up tokenStats
	up.add(Objective{}, []trainSample{a}, []float64{99, ln(.2), ln(.4)}, []float64{0, 0, 0})
	if up.clip.low != 0 || up.clip.high != 1 {
		t.Errorf("good tokens: %g clipped low, %g high, want 0 and 1", up.clip.low, up.clip.high)
	}
}

// The metrics of several updates are combined as the comment of GRPO.metrics says.
func TestUpdatesOfAStepAreSummedUpByHand(t *testing.T) {
	updates := []update{
		{
			train.Metrics{Values: map[string]float64{"loss": 1, "grad_norm": 2, "learning_rate": 7, "num_tokens": 9},
				Loads: map[string][]int{"moe/1/load": {1, 2}}},
			tokenStats{agreement: agreement{2, 2, summary{.5, 1.5, 2}, summary{0, 1, 1}},
				clip: clipStats{units: 2, low: 1, lowMin: .25, highMax: .125},
				kl:   2, approxKL: 4, entropy: 6, policyLoss: 3,
				hasReference: true},
			valueStats{},
		}, {
			train.Metrics{Values: map[string]float64{"loss": 3, "grad_norm": 4, "learning_rate": 5, "num_tokens": 9},
				Loads: map[string][]int{"moe/1/load": {10, 20}}},
			tokenStats{agreement: agreement{4, 4, summary{.25, 4, 8}, summary{0, 3, 4}},
				clip: clipStats{units: 4, high: 3, lowMin: .5, highMax: 1},
				kl:   4, approxKL: 4, entropy: 4, policyLoss: 1,
				hasReference: true},
			valueStats{},
		},
	}
	r := &Rollout{
		Samples: make([]rollout.Sample, 1), Scores: &reward.Scores{}, Advantages: Advantages{
			Scored: []bool{true}, Mean: []float64{0}, Std: []float64{0}, ZeroStd: []bool{true},
		},
	}
	m := (&GRPO{numTokens: 42}).metrics(r, updates, nil)
	for name, want := range map[string]float64{
		"loss": 2, "grad_norm": 3, "learning_rate": 5, "num_tokens": 42,
		"kl": 1, "approx_kl": 1.5, "entropy": 2, "policy_loss": 2,
		"clip_ratio/low_mean": .25, "clip_ratio/low_min": .25, "clip_ratio/high_mean": .375, "clip_ratio/high_max": 1,
		"clip_ratio/region_mean": .625,
		"ratio/min":              .25, "ratio/mean": 1.5, "ratio/max": 4,
		"sampling/sampling_logp_difference/mean": .5, "sampling/sampling_logp_difference/max": 1,
		"sampling/importance_sampling_ratio/min": .5, "sampling/importance_sampling_ratio/mean": 1,
		"sampling/importance_sampling_ratio/max": 1.5,
	} {
		near(t, name, m.Values[name], want, 1e-15)
	}
	if got := m.Loads["moe/1/load"]; !slices.Equal(got, []int{11, 22}) {
		t.Errorf("loads %v", got)
	}
}

// num_tokens counts prompt and completion tokens; the Trainer counts tokens in the loss.
func TestTokensAreCounted(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	all, learned := 0, 0
	g.OnRollout = func(r *Rollout) {
		for _, s := range r.Samples {
			all += len(r.Prompts[s.Prompt].IDs) + len(s.IDs)
			learned += len(s.IDs)
		}
	}
	mustStep(t, g)
	if got := mustStep(t, g).Values["num_tokens"]; got != float64(all) || g.Trainer.Tokens() != int64(learned) {
		t.Errorf("num_tokens %g and %d of the trainer, want %d and %d", got, g.Trainer.Tokens(), all, learned)
	}
}
