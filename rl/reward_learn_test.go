package rl

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// examined is a policy that solves about half of the echo problems, with its answers to problems of its training set
// and to others.
type examined struct {
	seed        uint64
	policy      *model.Model
	problems    []rollout.Prompt
	known, held answered
	before      float64 // share of right answers to the known problems
}

type answered struct {
	problems []rollout.Prompt
	samples  []rollout.Sample
}

func (a answered) pairs() []Pair { return preferRight(a.problems, a.samples) }

func examine(t *testing.T, seed uint64) examined {
	t.Helper()
	t.Log("seed", seed)
	e := examined{seed: seed, policy: newEcho(t), problems: echoes(rand.New(rand.NewPCG(seed, 0)))}
	e.held.problems, e.known.problems = e.problems[:46], e.problems[46:]
	undecided(t, e.policy, e.known.problems, seed)
	const n = 16
	var right int
	e.known.samples, right = answers(t, e.policy, e.known.problems, n, seed)
	e.held.samples, _ = answers(t, e.policy, e.held.problems, n, seed+1)
	e.before = float64(right) / float64(len(e.known.samples))
	return e
}

// copied returns a copy of the policy.
func (e examined) copied(t *testing.T) *model.Model {
	t.Helper()
	m := newEcho(t)
	if err := m.Params.CopyFrom(e.policy.Params); err != nil {
		t.Fatal(err)
	}
	return m
}

func (e examined) trainer(t *testing.T, m *model.Model, lr float64) *train.Trainer {
	tr := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: lr}, Seed: e.seed, Log: slog.New(slog.DiscardHandler)}
	t.Cleanup(tr.Close)
	return tr
}

// outcomeModel trains an outcome reward model on 500 batches of pairs of right and wrong answers.
func (e examined) outcomeModel(t *testing.T) (o *OutcomeModel, accuracy float64) {
	t.Helper()
	o, err := NewOutcomeModel(e.copied(t))
	if err != nil {
		t.Fatal(err)
	}
	tr := &OutcomeTraining{
		Trainer: e.trainer(t, o.Model, 3e-3), Model: o, Pairs: e.known.pairs(), Held: e.held.pairs(), Batch: 32,
		CenterRewards: 0.01, Steps: 500,
	}
	if err := tr.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := tr.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return o, v[MetricEval+MetricAccuracy]
}

// skipSlow skips a test that takes ten seconds with assembly kernels and minutes without.
func skipSlow(t *testing.T) {
	t.Helper()
	if path := backend.Path(openCPU(t)); testing.Short() || path == "portable" {
		t.Skipf("takes 10 s of CPU with assembly kernels: short %v, kernels %s", testing.Short(), path)
	}
}

// labelled returns the answers with a label at each token, which is right if all tokens up to it are.
func (a answered) labelled() []Solution {
	all := solutions(a.problems, a.samples)
	for i, s := range a.samples {
		want := echo(a.problems[s.Prompt])
		for j := range s.IDs {
			right := j < len(want) && slices.Equal(s.IDs[:j+1], want[:j+1])
			all[i].Steps = append(all[i].Steps, StepLabel{j, right})
		}
	}
	return all
}

// An outcome model and a process model are trained on the answers of a policy. On unseen problems they rank the right
// answer above the wrong one in at least 85% of pairs. AHA_SEEDS sets the number of seeds.
func TestRewardModelsRankAnswersToUnseenProblems(t *testing.T) {
	skipSlow(t)
	for seed := range seeds(t) {
		e := examine(t, seed)
		pairs := e.held.pairs()
		_, outcome := e.outcomeModel(t)

		everyToken := func(completion []int32) (ends []int) {
			for i := range completion {
				ends = append(ends, i)
			}
			return ends
		}
		p, err := NewProcessModel(e.copied(t), everyToken)
		if err != nil {
			t.Fatal(err)
		}
		tr := &ProcessTraining{
			Trainer: e.trainer(t, p.Model, 3e-3), Model: p, Solutions: e.known.labelled(), Held: e.held.labelled(), Batch: 64,
			Steps: 600,
		}
		tr.Trainer.Schedule = train.Linear(0, tr.Steps, 0)
		if err := tr.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, err := tr.Evaluate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps, err := p.Score(t.Context(), ofPairs(pairs))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %d held-out pairs; outcome model ranks %.1f%% right, steps are judged right in %.1f%%", seed,
			len(pairs), 100*outcome, 100*v[MetricEval+MetricAccuracy])
		if len(pairs) < 50 || outcome < 0.85 {
			t.Errorf("seed %d: the outcome model ranks %.1f%% of %d pairs right", seed, 100*outcome, len(pairs))
		}
		for _, by := range []Outcome{OutcomeMin, OutcomeProduct, OutcomeLast} {
			right := 0
			for i := range pairs {
				if by.Of(steps[2*i]) > by.Of(steps[2*i+1]) {
					right++
				}
			}
			share := float64(right) / float64(len(pairs))
			t.Logf("seed %d: the process model ranks %.1f%% right by %s", seed, 100*share, by)
			if share < 0.85 {
				t.Errorf("seed %d: the process model ranks %.1f%% right by %s", seed, 100*share, by)
			}
		}
	}
}

// GRPO on the scores of an outcome model first raises the share of right answers by more than 15 points. Then it finds
// wrong answers with higher scores: the score keeps rising while the share falls (Gao et al., arXiv 2210.10760). The
// test logs both curves. AHA_SEEDS sets the number of seeds.
func TestGRPOOnAnOutcomeModelLearnsTheTaskAndThenExploitsTheModel(t *testing.T) {
	skipSlow(t)
	for seed := range seeds(t) {
		e := examine(t, seed)
		o, accuracy := e.outcomeModel(t)
		gen, err := model.NewGenerator(e.policy, model.GeneratorOptions{Slots: 64, MaxLen: 16})
		if err != nil {
			t.Fatal(err)
		}
		right := func(_ context.Context, s reward.Sample) reward.Verdict {
			if slices.Equal(s.IDs, echo(rollout.Prompt{IDs: s.PromptIDs})) {
				return reward.Verdict{Value: 1, Status: reward.Correct}
			}
			return reward.Verdict{Status: reward.Wrong}
		}
		g := &GRPO{
			Trainer: e.trainer(t, e.policy, 5e-4),
			Sampler: &rollout.Generator{Generator: gen, Decode: hexText, MaxTokens: 4, Stop: []int32{1}},
			Reward: &reward.Suite{Funcs: []reward.Func{
				o.Func("orm"), {Name: "right", Score: right, MetricOnly: true},
			}},
			Data: Epochs(e.problems, 32, seed), Steps: 150, FailOnMismatch: true,
		}
		var score, truth []float64 // means of ten steps
		g.OnStep = func(m train.Metrics) {
			if m.Step%10 == 1 {
				score, truth = append(score, 0), append(truth, 0)
			}
			score[len(score)-1] += m.Values[reward.MetricMean("orm")] / 10
			truth[len(truth)-1] += m.Values[reward.MetricMean("right")] / 10
		}
		if err := g.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		gen.Close()
		var curves strings.Builder
		for i := range score {
			fmt.Fprintf(&curves, "\n  steps %3d to %3d: score %6.3f, right answers %5.1f%%", 10*i+1, 10*i+10, score[i],
				100*truth[i])
		}
		t.Logf("seed %d: the model ranks %.1f%% of held-out pairs right; right answers before %.1f%%%s", seed, 100*accuracy,
			100*e.before, curves.String())
		best, last := slices.Index(truth, slices.Max(truth)), len(truth)-1
		if truth[best] < e.before+0.15 {
			t.Errorf("seed %d: right answers rise from %.1f%% to %.1f%% only", seed, 100*e.before, 100*truth[best])
		}
		if truth[last] > truth[best]-0.3 || score[last] <= score[best] {
			t.Errorf("seed %d: no exploit: right answers %.1f%% → %.1f%%, score %.3f → %.3f", seed, 100*truth[best],
				100*truth[last], score[best], score[last])
		}
	}
}
