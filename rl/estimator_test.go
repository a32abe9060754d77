package rl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// knownAdvantages is the content of testdata/advantage.json, computed by the code of TRL and
// verl.
type knownAdvantages struct {
	Group      int            `json:"group"`
	Tokens     []int          `json:"tokens"`
	Weights    []float64      `json:"weights"`
	Steps      [][][2]float64 `json:"steps"`
	Rewards    [][]*float64   `json:"rewards"`
	OldLogProb []float64      `json:"old_log_prob"`
	RefLogProb []float64      `json:"ref_log_prob"`
	Cases      []struct {
		Trainer      string             `json:"trainer"`
		Scaling      Scaling            `json:"scale_rewards"`
		Aggregation  Aggregation        `json:"multi_objective_aggregation"`
		Normalize    bool               `json:"normalize_advantages"`
		Beta         float64            `json:"beta"`
		Estimator    Estimator          `json:"adv_estimator"`
		Steps        bool               `json:"steps"`
		KL           float64            `json:"kl"`
		ByCompletion []float64          `json:"by_completion"`
		ByToken      []float64          `json:"by_token"`
		Metrics      map[string]float64 `json:"metrics"`
	} `json:"cases"`
}

// rollout returns the rollout of the fixture, and a GRPO with its settings.
func (f *knownAdvantages) rollout(t *testing.T) (*GRPO, *Rollout) {
	t.Helper()
	g := &GRPO{G: f.Group, Reward: &reward.Suite{}}
	verdicts := make([][]reward.Verdict, len(f.Rewards))
	for k, values := range f.Rewards {
		g.Reward.Funcs = append(g.Reward.Funcs, reward.Func{Name: fmt.Sprint("f", k), Weight: f.Weights[k],
			Score: func(_ context.Context, s reward.Sample) reward.Verdict {
				if v := values[s.Answer.(int)]; v != nil {
					return reward.Verdict{Value: *v, Status: reward.Wrong}
				}
				return reward.Verdict{Status: reward.NotApplicable}
			}})
		verdicts[k] = make([]reward.Verdict, len(values))
	}
	r := &Rollout{}
	var judged []reward.Sample
	at := 0
	for i, n := range f.Tokens {
		r.Samples = append(r.Samples, rollout.Sample{
			Prompt: i / f.Group, IDs: make([]int32, n), LogProbs: f.OldLogProb[at : at+n], Finish: model.Stopped})
		judged = append(judged, reward.Sample{Answer: i})
		at += n
	}
	var err error
	if r.Scores, err = g.Reward.Score(context.Background(), judged); err != nil {
		t.Fatal(err)
	}
	r.Rewards = r.Scores.Totals
	return g, r
}

// Advantages agree with those of TRL and verl. There are two reward functions, each of which
// does not apply to some samples.
func TestAdvantagesAreTRLsAndVerls(t *testing.T) {
	text, err := os.ReadFile("testdata/advantage.json")
	if err != nil {
		t.Fatal(err)
	}
	var f knownAdvantages
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Cases {
		g, r := f.rollout(t)
		g.Scaling, g.Aggregation, g.Estimator, g.RewardKL = c.Scaling, c.Aggregation, c.Estimator, c.Beta+c.KL
		name := fmt.Sprintf("%s %s %s %s normalize %v steps %v kl %g", c.Trainer, c.Estimator, c.Scaling, c.Aggregation,
			c.Normalize, c.Steps, g.RewardKL)
		if c.Trainer == "rloo" {
			g.Estimator = EstimatorRLOO
			if c.Normalize {
				g.Scaling = ScaleBatch
			}
		}
		if err := g.fits(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		at := 0
		if c.Steps {
			r.Steps = make([][]StepReward, len(r.Samples))
			for i, steps := range f.Steps {
				for _, s := range steps {
					r.Steps[i] = append(r.Steps[i], StepReward{Token: int(s[0]), Value: s[1]})
				}
			}
		}
		if g.RewardKL != 0 {
			for _, n := range f.Tokens {
				r.RefLogProbs = append(r.RefLogProbs, f.RefLogProb[at:at+n])
				at += n
			}
		}
		if err := g.judge(r); err != nil {
			t.Fatal(err)
		}
		at = 0
		for i, n := range f.Tokens {
			for j := range n {
				want := 0.0
				if c.ByToken != nil {
					want = c.ByToken[at+j]
				} else {
					want = c.ByCompletion[i]
				}
				near(t, fmt.Sprintf("%s: token %d of %d", name, j, i), r.Advantages.Token[i][j], want, 1e-9)
			}
			at += n
		}
		got := g.metrics(r, nil, nil).Values
		for metric, want := range c.Metrics {
			near(t, name+": "+metric, got[metric], want, 1e-9)
		}
	}
}

// DeepSeekMath §4.1.3 by hand: a group of two with steps 1, 0 and 2.
func TestProcessSupervisionByHand(t *testing.T) {
	r := &Rollout{
		Samples: []rollout.Sample{{IDs: make([]int32, 4)}, {IDs: make([]int32, 2)}},
		Rewards: scored(1, 0), Scores: &reward.Scores{},
		Steps: [][]StepReward{{{Token: 1, Value: 1}, {Token: 2, Value: 0}}, {{Token: 1, Value: 2}}},
	}
	g := &GRPO{G: 2, StdEps: 1e-300}
	if err := g.judge(r); err != nil {
		t.Fatal(err)
	}
	// Steps have mean 1 and deviation 1: 0, −1 and 1. Outcomes ±½ over √½.
	o := math.Sqrt(0.5)
	for i, want := range [][]float64{{o - 1, o - 1, o - 1, o}, {-o + 1, -o + 1}} {
		for j, w := range want {
			near(t, fmt.Sprintf("token %d of %d", j, i), r.Advantages.Token[i][j], w, 1e-15)
		}
	}
	r.Rewards = scored(1, 1) // the steps still have a learning signal
	if err := g.judge(r); err != nil {
		t.Fatal(err)
	}
	near(t, "first token", r.Advantages.Token[0][0], -1, 1e-15)
	if r.Advantages.ZeroStd[0] {
		t.Error("ZeroStd is set")
	}
	// Without scaling: centred at 1.
	g.Scaling = ScaleNone
	if err := g.judge(r); err != nil {
		t.Fatal(err)
	}
	near(t, "second step", r.Advantages.Token[0][2], -1, 1e-15)
}

func TestStepsThatDoNotFitAreNamed(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	var steps func(r *Rollout) [][]StepReward
	boom := errors.New("boom")
	g.Process = func(_ context.Context, r *Rollout) ([][]StepReward, error) {
		if steps == nil {
			return nil, boom
		}
		return steps(r), nil
	}
	before := weights(t, g)
	_, err := g.Step(context.Background())
	if !errors.Is(err, boom) {
		t.Errorf("error is %v, want boom", err)
	}
	wantError(t, err, "step 0: GRPO.Process")
	of := func(s ...StepReward) func(r *Rollout) [][]StepReward {
		return func(r *Rollout) [][]StepReward {
			all := make([][]StepReward, len(r.Samples))
			all[2] = s
			return all
		}
	}
	for _, c := range []struct {
		want  string
		steps func(r *Rollout) [][]StepReward
	}{
		{"returned the steps of 0 samples, want 16", func(*Rollout) [][]StepReward { return nil }},
		{"returned token 99 as the end of step 0 of sample 2", of(StepReward{Token: 99})},
		{"returned token 0 as the end of step 1 of sample 2: want one after token 0", of(StepReward{}, StepReward{})},
		{"returned token -1 as the end of step 0", of(StepReward{Token: -1})},
		{"returned NaN for step 0 of sample 2", of(StepReward{Value: math.NaN()})},
	} {
		steps = c.steps
		_, err := g.Step(context.Background())
		wantError(t, err, c.want)
	}
	if weights(t, g) != before {
		t.Error("the weights changed")
	}
	steps = of(StepReward{Value: 1})
	mustStep(t, g)
}

// A sample with the only reward of its group has advantage 0, and does not count in
// whitening or scaling.
func TestLoneSamplesHaveNoAdvantage(t *testing.T) {
	rewards := scored(5, 0, 1, 0)
	rewards[1] = reward.Verdict{Status: reward.NotApplicable}
	for _, c := range []struct {
		estimator Estimator
		scaling   Scaling
		want      []float64
	}{
		{EstimatorRLOO, "", []float64{0, 0, 1, -1}},
		{EstimatorRLOO, ScaleBatch, []float64{0, 0, 1 / (math.Sqrt2 + 1e-4), -1 / (math.Sqrt2 + 1e-4)}},
		// Each sample has one token: ½ and −½, with deviation √½.
		{EstimatorReinforcePlusPlusBaseline, "", []float64{0, 0, math.Sqrt(.5), -math.Sqrt(.5)}},
	} {
		g := &GRPO{G: 2, Estimator: c.estimator, Scaling: c.scaling}
		r := &Rollout{Rewards: rewards, Samples: make([]rollout.Sample, 4)}
		for i := range r.Samples {
			r.Samples[i].IDs = make([]int32, 1)
			r.Samples[i].Prompt = i / 2
		}
		if err := g.judge(r); err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			near(t, fmt.Sprint(c.estimator, c.scaling, i), r.Advantages.Token[i][0], want, 1e-7)
		}
	}
}

// Runs with each estimator are repeatable bit for bit, and with RewardKL they have a
// reference model.
func TestEstimatorsRun(t *testing.T) {
	for _, set := range []func(g *GRPO){
		func(g *GRPO) { g.Estimator, g.RewardKL, g.RefSync = EstimatorRLOO, 0.1, 1 },
		func(g *GRPO) { g.Estimator, g.RewardKL, g.G = EstimatorReinforcePlusPlus, 0.1, 1 },
		func(g *GRPO) { g.Estimator = EstimatorReinforcePlusPlusBaseline },
		func(g *GRPO) { g.Aggregation = NormalizeThenSum },
	} {
		var sums []string
		for range 2 {
			g := newRun(t, openCPU(t), model.Options{})
			set(g)
			first, second := mustStep(t, g), mustStep(t, g)
			sums = append(sums, weights(t, g))
			if g.RewardKL == 0 {
				continue
			}
			if first.Values[MetricKL] != 0 {
				t.Errorf("kl of the first step is %g, the policy is the reference", first.Values[MetricKL])
			}
			if kl := second.Values[MetricKL]; g.RefSync == 0 && kl == 0 {
				t.Error("kl of the second step is 0: the reference model changed")
			} else if g.RefSync == 1 && kl != 0 {
				t.Errorf("kl of the second step is %g: the reference model did not change", kl)
			}
		}
		if sums[0] != sums[1] {
			t.Error("two runs, two results")
		}
	}
}

func TestAdvantagesThatMeanNothingAreRefused(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	for _, c := range []struct {
		set  func(g *GRPO)
		want string
	}{
		{func(g *GRPO) { g.Estimator = "remax" },
			`GRPO.Estimator is "remax", want grpo, rloo, reinforce_plus_plus or reinforce_plus_plus_baseline`},
		{func(g *GRPO) { g.Aggregation = "sum" }, `GRPO.Aggregation is "sum", want sum_then_normalize or normalize_then_sum`},
		{func(g *GRPO) { g.RewardKL, g.Objective.Beta = 1, 1 }, "GRPO.RewardKL is set with Objective.Beta"},
		{func(g *GRPO) { g.Estimator, g.Scaling = EstimatorRLOO, ScaleGroup }, "GRPO.Scaling is group"},
		{func(g *GRPO) { g.Estimator, g.Scaling = EstimatorReinforcePlusPlus, ScaleBatch }, "GRPO.Scaling is batch"},
		{func(g *GRPO) { g.Estimator, g.StdEps = EstimatorReinforcePlusPlus, 1 }, "GRPO.StdEps is 1"},
		{func(g *GRPO) { g.Estimator, g.StdEps = EstimatorRLOO, 1 }, "GRPO.StdEps is 1"},
		{func(g *GRPO) { g.RewardKL, g.SkipZeroStd = 1, true }, "GRPO.SkipZeroStd is set with RewardKL"},
		{func(g *GRPO) {
			g.Shuffle = true
			g.Process = func(context.Context, *Rollout) ([][]StepReward, error) { return nil, nil }
		}, "GRPO.Shuffle is set with Process"},
		{func(g *GRPO) { g.Estimator, g.G = EstimatorRLOO, 1 }, "GRPO.G is 1"},
		{func(g *GRPO) { g.Estimator, g.Aggregation = EstimatorRLOO, NormalizeThenSum },
			"GRPO.Aggregation is normalize_then_sum"},
		{func(g *GRPO) { g.Scaling, g.Aggregation = ScaleNone, NormalizeThenSum }, "GRPO.Scaling is none"},
		{func(g *GRPO) { g.RewardKL, g.Aggregation = 1, NormalizeThenSum }, "GRPO.RewardKL is set"},
	} {
		was := *g
		c.set(g)
		wantError(t, g.validate(), c.want)
		*g = was
	}
}
