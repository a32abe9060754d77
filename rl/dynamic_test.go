package rl

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// batches makes g's batches of prompts from strings, one prompt for each letter. Completion i
// has i+1 sevens. Completions of an upper-case letter are rewarded by their number of sevens;
// those of a lower-case letter all get the same reward. Prompts of one letter have one token.
func batches(g *GRPO, of ...string) *scripted {
	s := script(g)
	g.Data = func(batch int) ([]rollout.Prompt, error) {
		if batch >= len(of) {
			return nil, fmt.Errorf("there are %d", len(of))
		}
		var prompts []rollout.Prompt
		for _, letter := range of[batch] {
			prompts = append(prompts, rollout.Prompt{IDs: []int32{letter % 16}, Text: string(letter)})
		}
		return prompts, nil
	}
	g.Reward.Funcs = []reward.Func{
		{Name: "a", Weight: 2, Score: func(ctx context.Context, x reward.Sample) reward.Verdict {
			if x.Prompt >= "a" {
				return reward.Verdict{Value: 3, Status: reward.Correct}
			}
			return countSevens(ctx, x)
		}},
		{Name: "b", Score: func(_ context.Context, x reward.Sample) reward.Verdict {
			if x.Prompt >= "a" || len(x.IDs) == 2 {
				return reward.Verdict{Value: 1, Status: reward.Correct}
			}
			return reward.Verdict{Status: reward.Wrong}
		}},
	}
	g.OnAlarm = func(int, []string) {}
	return s
}

func TestGroupsWithoutSpreadAreReplaced(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	s := batches(g, "aBc", "deF", "GHi", "JKL")
	g.DynamicSampling = 10
	var r *Rollout
	g.OnRollout = func(x *Rollout) { r = x }
	m := mustStep(t, g).Values
	text := ""
	for p, prompt := range r.Prompts {
		text += prompt.Text
		learned := strings.Contains("BFG", prompt.Text) // H is surplus
		for i := p * 4; i < p*4+4; i++ {
			if r.InLoss[i] != learned || r.Samples[i].Prompt != p || (r.Advantages.Value[i] != 0) != learned {
				t.Errorf("sample %d of %s is of prompt %d, in the loss: %t, advantage %g", i, prompt.Text, r.Samples[i].Prompt,
					r.InLoss[i], r.Advantages.Value[i])
			}
			for _, a := range r.Advantages.Token[i] {
				if a != r.Advantages.Value[i] {
					t.Errorf("sample %d has the advantage %g and a token %g", i, r.Advantages.Value[i], a)
				}
			}
		}
	}
	if text != "aBcdeFGHi" || r.Rounds != 3 {
		t.Errorf("the rollout has %s in %d rounds", text, r.Rounds)
	}
	near(t, MetricGenBatches, m[MetricGenBatches], 3, 0)
	near(t, MetricDroppedGroups, m[MetricDroppedGroups], 6./9, 1e-15)
	near(t, MetricRewardZeroStd, m[MetricRewardZeroStd], 5./9, 1e-15)
	near(t, "rewards/a/correct", m["rewards/a/correct"], 20, 0)
	if len(s.draws) != 3 || s.draws[0].Seed == s.draws[1].Seed || s.draws[1].Seed == s.draws[2].Seed {
		t.Errorf("draws %+v", s.draws)
	}
	mustStep(t, g) // the second step begins with the batch after those of the first
	if r.Prompts[0].Text != "J" || r.Rounds != 1 || g.batches != 4 {
		t.Errorf("the second step has %d rounds and begins with %s", r.Rounds, r.Prompts[0].Text)
	}
	_, err := g.Step(context.Background())
	wantError(t, err, "rl: prompts of batch 4: there are 4")
}

// A step with dropped groups gives the same bits as a step with only the remaining groups,
// for every estimator and LossType.
func TestStepsLearnFromTheGroupsThatAreLeftAlone(t *testing.T) {
	for name, set := range map[string]func(g *GRPO){
		"grpo":       func(*GRPO) {},
		"batch":      func(g *GRPO) { g.Scaling = ScaleBatch },
		"dr_grpo":    func(g *GRPO) { g.LossType, g.Scaling = LossDrGRPO, ScaleNone },
		"loss grpo":  func(g *GRPO) { g.LossType, g.MiniBatches, g.NumIterations = LossGRPO, 2, 2 },
		"rloo":       func(g *GRPO) { g.Estimator, g.Scaling = EstimatorRLOO, ScaleBatch },
		"baseline":   func(g *GRPO) { g.Estimator = EstimatorReinforcePlusPlusBaseline },
		"gdpo":       func(g *GRPO) { g.Aggregation = NormalizeThenSum },
		"reward kl":  func(g *GRPO) { g.Estimator, g.RewardKL = EstimatorRLOO, 0.5 },
		"off policy": func(g *GRPO) { g.OffPolicy.Correction = CorrectionSequenceTruncate },
		"steps": func(g *GRPO) {
			g.Process = func(_ context.Context, r *Rollout) ([][]StepReward, error) {
				all := make([][]StepReward, len(r.Samples))
				for i, s := range r.Samples {
					if r.Prompts[s.Prompt].Text < "a" {
						all[i] = []StepReward{{Token: len(s.IDs) - 1, Value: float64(len(s.IDs) % 3)}}
					}
				}
				return all, nil
			}
		},
	} {
		run := func(rounds int, of ...string) string {
			g := newRun(t, openCPU(t), model.Options{})
			batches(g, of...)
			g.DynamicSampling = rounds
			set(g)
			m := mustStep(t, g)
			if m.Values["loss"] == 0 && m.Values["grad_norm"] == 0 {
				t.Errorf("%s: nothing was learned", name)
			}
			return weights(t, g)
		}
		if run(10, "aBc", "deF", "GHi") != run(0, "BFG") {
			t.Errorf("%s: dropped groups change the weights", name)
		}
	}
}

func TestDynamicSamplingStopsAtItsBound(t *testing.T) {
	for _, rounds := range []int{1, 2} {
		g := newRun(t, openCPU(t), model.Options{})
		s := batches(g, "aBc", "deF", "GHi")
		g.DynamicSampling = rounds
		var said []string
		g.OnAlarm = func(_ int, alarms []string) { said = alarms }
		m := mustStep(t, g).Values
		if len(s.draws) != rounds {
			t.Errorf("%d rounds, want %d", len(s.draws), rounds)
		}
		want := fmt.Sprintf("%d groups with a spread are missing after %d rounds", 3-rounds, rounds)
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("alarms %q, want %s", said, want)
		}
		near(t, MetricDroppedGroups, m[MetricDroppedGroups], 2./3, 1e-15)
	}
	g := newRun(t, openCPU(t), model.Options{})
	batches(g, "abc", "def", "GHI")
	g.DynamicSampling = 2
	before := weights(t, g)
	for range 2 {
		_, err := g.Step(context.Background())
		wantError(t, err, "rl: step 0: no group has a spread: GRPO.DynamicSampling made 2 rounds, 6 groups in all")
	}
	if weights(t, g) != before || g.StepCount() != 0 || g.batches != 0 {
		t.Error("the step was made")
	}
}

// Rewards are shuffled within each round, before the step decides whether to make another.
func TestRoundsAreShuffledApart(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	batches(g, "aBc", "deF", "GHi", "JKL", "MNO", "PQR")
	g.DynamicSampling, g.Shuffle, g.Aggregation = 6, true, NormalizeThenSum
	moved := false
	g.OnRollout = func(r *Rollout) {
		for i, v := range r.Rewards {
			from := r.judged(i)
			moved = moved || from != i
			if from/12 != i/12 || !reflect.DeepEqual(v, r.Scores.Totals[from]) {
				t.Errorf("sample %d has the reward %v of sample %d, %v", i, v, from, r.Scores.Totals[from])
			}
		}
	}
	mustStep(t, g)
	if !moved {
		t.Error("nothing was shuffled")
	}
}

// dynamic returns a run whose steps take several rounds. Its verdicts are not repeatable:
// every seventh call is a timeout.
func dynamic(t testing.TB, dir string, steps int, calls *int) *GRPO {
	g := everything(t, dir, steps)
	g.SkipZeroStd, g.DynamicSampling, g.G = false, 6, 2
	g.OnAlarm = func(int, []string) {}
	g.Reward.Workers = 1
	g.Reward.Funcs[0].Score = func(_ context.Context, s reward.Sample) reward.Verdict {
		if *calls++; *calls%7 == 0 {
			return reward.Verdict{Status: reward.Timeout}
		}
		if slices.Contains(s.IDs, 7) {
			return reward.Verdict{Value: 1, Status: reward.Correct}
		}
		return reward.Verdict{Status: reward.Wrong}
	}
	return g
}

// failing is a Sampler that fails after a given number of calls.
type failing struct {
	rollout.Sampler
	left int
}

func (f *failing) Sample(ctx context.Context, prompts []rollout.Prompt, d rollout.Draw) ([]rollout.Sample, error) {
	if f.left--; f.left < 0 {
		return nil, errors.New("killed")
	}
	return f.Sampler.Sample(ctx, prompts, d)
}

// A run that is killed between two rounds of a step and resumed gives the same bits as an
// uninterrupted one, and scores no completion twice.
func TestRunKilledBetweenRoundsResumes(t *testing.T) {
	var calls int
	whole := dynamic(t, "", 4, &calls)
	var rounds []int
	whole.OnRollout = func(r *Rollout) { rounds = append(rounds, r.Rounds) }
	want := mustRun(t, whole)
	asked := calls
	t.Log("rounds of the steps:", rounds)
	if slices.Max(rounds) < 2 || rounds[2] < 2 {
		t.Fatalf("rounds %v: the test is not conclusive", rounds)
	}

	calls = 0
	dir := t.TempDir()
	got := mustRun(t, dynamic(t, dir, 2, &calls))
	for left := range rounds[2] { // killed before each of the third step's rounds
		g := dynamic(t, dir, 4, &calls)
		g.Sampler = &failing{g.Sampler, left}
		wantError(t, g.Run(context.Background()), "killed")
		g.Trainer.Close()
	}
	second := dynamic(t, dir, 4, &calls)
	got = append(got, mustRun(t, second)...)
	if calls != asked {
		t.Errorf("%d verdicts, %d without a kill", calls, asked)
	}
	if weights(t, second) != weights(t, whole) || !reflect.DeepEqual(got, want) {
		t.Errorf("weights or metrics differ:\n%v\n%v", got, want)
	}
	if second.batches != whole.batches || second.batches <= 4 {
		t.Errorf("%d batches, %d without a kill", second.batches, whole.batches)
	}
	other := dynamic(t, dir, 5, &calls)
	other.DynamicSampling = 7
	wantError(t, other.Run(context.Background()), "max_num_gen_batches")
	other.Trainer.Close()
	if files, _ := filepath.Glob(filepath.Join(dir, "step-*")); len(files) == 0 {
		t.Error("nothing was saved")
	}
}

func TestBadDynamicSamplingIsAnError(t *testing.T) {
	for want, spoil := range map[string]func(g *GRPO){
		"GRPO.DynamicSampling is -1":                 func(g *GRPO) { g.DynamicSampling = -1 },
		"GRPO.DynamicSampling is 2 with SkipZeroStd": func(g *GRPO) { g.SkipZeroStd = true },
		"2 with Estimator reinforce_plus_plus":       func(g *GRPO) { g.Estimator = EstimatorReinforcePlusPlus },
		"GRPO.DynamicSampling is 2 with Critic": func(g *GRPO) {
			g.Critic = &Critic{Head: valueHead(t, g.Trainer.Model)}
		},
	} {
		g := newRun(t, openCPU(t), model.Options{})
		g.DynamicSampling = 2
		spoil(g)
		_, err := g.Step(context.Background())
		wantError(t, err, want)
	}
}
