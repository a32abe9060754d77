package rl

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// valueHead adds a value head to m.
func valueHead(t testing.TB, m *model.Model) *tensor.Param {
	t.Helper()
	head, err := NewValueHead(m)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// ownCritic sets a critic with a separate network: half as wide as the policy, with experts.
func ownCritic(t testing.TB, g *GRPO, o model.Options) {
	t.Helper()
	c := tiny()
	c.HiddenSize, c.TieWordEmbeddings = 16, true
	m, err := model.NewWith(g.Trainer.Model.Backend(), c, 4, o)
	if err != nil {
		t.Fatal(err)
	}
	tr := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, Log: g.Trainer.Log}
	g.Critic = &Critic{Head: valueHead(t, m), Trainer: tr}
	t.Cleanup(func() {
		tr.Close()
		m.Free()
	})
}

// ppoForms set the two kinds of critic.
var ppoForms = map[string]func(t testing.TB, g *GRPO, o model.Options){
	"own network": ownCritic,
	"shared trunk": func(t testing.TB, g *GRPO, o model.Options) {
		g.Critic = &Critic{Head: valueHead(t, g.Trainer.Model), Coef: 0.5}
	},
}

// newPPO returns a run of PPO with 16 prompts and one completion of each.
func newPPO(t testing.TB, form string, o model.Options) *GRPO {
	t.Helper()
	g := newRun(t, openCPU(t), o)
	ppoForms[form](t, g, o)
	g.G = 1
	g.Data = func(step int) ([]rollout.Prompt, error) {
		prompts := make([]rollout.Prompt, 16)
		for i := range prompts {
			prompts[i] = rollout.Prompt{IDs: []int32{0, int32(2 + (step+i)%14)}, Text: "go"}
		}
		return prompts, nil
	}
	return g
}

func criticWeights(t testing.TB, g *GRPO) string {
	t.Helper()
	sum, err := train.WeightsSHA256(g.network().Model.Params.All())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// The reward is that of the last token. Advantages are computed by GAE from the values,
// which begin at 0, and are whitened over the tokens in the loss. The first update computes
// the same values as the rollout, bit for bit.
func TestAdvantagesOfPPOComeFromValues(t *testing.T) {
	for form := range ppoForms {
		g := newPPO(t, form, model.Options{})
		g.MaskTruncated, generator(g).Stop = true, []int32{3, 4, 5}
		g.Critic.Lambda = 0.5
		var r *Rollout
		g.OnRollout = func(x *Rollout) { r = x }
		m := mustStep(t, g)
		left := 0
		for i, s := range r.Samples {
			if !r.InLoss[i] {
				left++
				if r.Values[i] != nil || r.Returns[i] != nil {
					t.Errorf("%s: sample %d, which is not in the loss, has values", form, i)
				}
				continue
			}
			for j, ret := range r.Returns[i] { // V = 0: R_t = λ^(T−1−t)·r
				if want := math.Pow(0.5, float64(len(s.IDs)-1-j)) * r.Rewards[i].Value; r.Values[i][j] != 0 || ret != want {
					t.Errorf("%s: sample %d, token %d: value %g, return %g, want 0 and %g", form, i, j, r.Values[i][j], ret, want)
				}
			}
		}
		if left == 0 || left == len(r.Samples) {
			t.Fatalf("%s: %d of %d samples are truncated: the test is not conclusive", form, left, len(r.Samples))
		}
		near(t, form+": mean advantage", m.Values[MetricAdvantageMean], 0, 1e-12)
		if _, ok := m.Values[MetricRewardZeroStd]; ok {
			t.Errorf("%s: there is a metric %s of groups of one", form, MetricRewardZeroStd)
		}
		m = mustStep(t, g)
		if a, b := m.Values[MetricValuePrediction], m.Values[MetricValueMean]; a != b || a == 0 {
			t.Errorf("%s: mean value is %v in the rollout and %v in the first update", form, b, a)
		}
		if m.Values[MetricValueClipped] != 0 {
			t.Errorf("%s: %g of the values are clipped on policy", form, m.Values[MetricValueClipped])
		}
	}
}

// The critic learns to predict the reward: its explained variance rises.
func TestTheCriticLearnsTheReward(t *testing.T) {
	for form := range ppoForms {
		g := newPPO(t, form, model.Options{})
		g.NumIterations = 4
		g.Critic.ClipRange = 100
		if g.Critic.own() {
			g.Critic.Warmup, g.Steps = 12, 20
		} else {
			g.Trainer.Optimizer, g.Critic.Coef = train.AdamW{LR: 3e-3}, 1
		}
		g.Data = func(step int) ([]rollout.Prompt, error) {
			prompts := make([]rollout.Prompt, 32)
			for i := range prompts {
				prompts[i] = rollout.Prompt{IDs: []int32{0, int32(2 + i%2)}, Text: "go", Answer: i % 2}
			}
			return prompts, nil
		}
		g.Reward.Funcs[0].Score = func(_ context.Context, s reward.Sample) reward.Verdict {
			return reward.Verdict{Status: reward.Correct, Value: float64(s.Answer.(int))} // known from the prompt
		}
		first := mustStep(t, g).Values
		var last map[string]float64
		for range 11 {
			last = mustStep(t, g).Values
		}
		if first[MetricExplainedVariance] > 0.01 || last[MetricExplainedVariance] < 0.8 ||
			last[MetricValueLoss] > first[MetricValueLoss]/2 {
			t.Errorf("%s: explained variance %.3f, then %.3f; value loss %.4f, then %.4f", form,
				first[MetricExplainedVariance], last[MetricExplainedVariance], first[MetricValueLoss], last[MetricValueLoss])
		}
	}
}

// Warm-up steps change only the weights of the critic.
func TestTheCriticWarmsUpAlone(t *testing.T) {
	g := newPPO(t, "own network", model.Options{})
	g.Critic.Warmup, g.MiniBatches = 2, 2
	policy, critic := weights(t, g), criticWeights(t, g)
	for step := range 3 {
		m := mustStep(t, g)
		if moved := weights(t, g) != policy; moved != (step == 2) {
			t.Errorf("step %d: the policy's weights changed: %t", step, moved)
		}
		if c := criticWeights(t, g); c == critic {
			t.Errorf("step %d: the critic's weights did not change", step)
		} else {
			critic = c
		}
		_, ok := m.Values[train.MetricLoss]
		if ok != (step == 2) || m.Values[MetricValueLoss] == 0 || m.Values[MetricSamplingRatioMax] != 1 {
			t.Errorf("step %d: metrics %v", step, m.Values)
		}
	}
	if p, c := g.Trainer.StepCount(), g.Critic.Trainer.StepCount(); p != 2 || c != 6 {
		t.Errorf("%d updates of the policy, %d of the critic", p, c)
	}
}

func TestMicroBatchesChangeNothingInPPO(t *testing.T) {
	for _, c := range []struct {
		dtype     backend.DType
		tolerance float64
	}{{backend.F64, 1e-9}, {backend.F32, 1e-6}} {
		for form := range ppoForms {
			var losses, valueLosses []float64
			var grads [][]float64
			for _, rows := range []int{0, 1, 25} {
				g := newPPO(t, form, model.Options{DType: c.dtype})
				rng := rand.New(rand.NewPCG(6, 0))
				head := make([]float64, g.Critic.Head.Len())
				for i := range head {
					head[i] = 0.1 * rng.NormFloat64()
				}
				if err := g.Critic.Head.SetFloats(head); err != nil {
					t.Fatal(err)
				}
				g.Trainer.MaxRows, g.network().MaxRows = rows, rows
				m := mustStep(t, g)
				losses, valueLosses = append(losses, m.Values["loss"]), append(valueLosses, m.Values[MetricValueLoss])
				all := gradients(t, g)
				if g.Critic.own() {
					all = append(all, gradients(t, &GRPO{Trainer: g.Critic.Trainer})...)
				}
				grads = append(grads, all)
			}
			for i := 1; i < 3; i++ {
				name := fmt.Sprintf("%v, %s", c.dtype, form)
				near(t, name+": loss", losses[i], losses[0], c.tolerance)
				near(t, name+": value loss", valueLosses[i], valueLosses[0], c.tolerance)
				if d := relative(grads[i], grads[0]); !(d <= c.tolerance) {
					t.Errorf("%s: gradients of split %d differ by %g", name, i, d)
				}
			}
		}
	}
}

// Gradients of the sum of policy loss and value loss, for a critic on the policy's hidden
// states, agree with finite differences.
func TestGradientsOfPolicyAndValues(t *testing.T) {
	const seed = 8
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	c := tiny()
	c.NRoutedExperts, c.NSharedExperts, c.NumExpertsPerTok, c.MoEIntermediateSize, c.FirstKDenseReplace = 0, 0, 0, 0, 0
	c.NumHiddenLayers = 1
	m, err := model.NewWith(openCPU(t), c, seed, model.Options{DType: backend.F64})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	critic := &Critic{Head: valueHead(t, m)}
	for _, p := range m.Params.All() {
		x := make([]float64, p.Len())
		for i := range x {
			x[i] = 0.3 * rng.NormFloat64()
		}
		if err := p.SetFloats(x); err != nil {
			t.Fatal(err)
		}
	}
	var xs []trainSample
	for range 2 {
		s := &rollout.Sample{IDs: []int32{int32(rng.IntN(16)), int32(rng.IntN(16)), int32(rng.IntN(16))}}
		x := newTrainSample(rollout.Prompt{IDs: []int32{1, 2}}, s, nil)
		for range s.IDs {
			s.LogProbs = append(s.LogProbs, -1-2*rng.Float64())
			x.advantages = append(x.advantages, rng.NormFloat64())
			x.values, x.returns = append(x.values, rng.NormFloat64()), append(x.returns, rng.NormFloat64())
		}
		x.weight = 0.25
		xs = append(xs, x)
	}
	tr := &train.Trainer{Model: m}
	gradtest.Check(t, m.Params.All(), func(s *tensor.Scope) tensor.Tensor {
		b := m.NewBatch(s, sequences(xs), model.Totals(sequences(xs)))
		out := m.Forward(s, b)
		var stats valueStats
		return tensor.Add(Objective{}.Loss(tokens(s, out, b, xs, 1)), critic.loss(tr, out, b, xs, &stats))
	}, gradtest.Options{Samples: 20, Seed: seed})
}

// fullPPO returns a run of PPO that uses every kind of state in a checkpoint.
func fullPPO(t testing.TB, form, dir string, steps int) *GRPO {
	g := newPPO(t, form, model.Options{})
	g.Trainer.Dir, g.Trainer.Schedule, g.Steps = dir, train.WarmUp(3, train.Constant(1)), steps
	g.NumIterations, g.MiniBatches, g.Critic.Lambda, g.Critic.Gamma = 2, 2, 0.9, 0.99
	if g.Critic.own() {
		g.Critic.Trainer.EMADecay, g.Critic.Trainer.BalanceAlpha = 0.9, 0.01
		g.Critic.Trainer.Schedule = train.WarmUp(5, train.Constant(1))
		g.Critic.Warmup = 1
	}
	return g
}

func TestResumedPPOEqualsUninterrupted(t *testing.T) {
	for form := range ppoForms {
		whole := fullPPO(t, form, "", 5)
		want := mustRun(t, whole)

		dir := t.TempDir()
		got := mustRun(t, fullPPO(t, form, dir, 2))
		lost := fullPPO(t, form, dir, 5) // killed after two steps that were not saved
		mustStep(t, lost)
		mustStep(t, lost)
		lost.Trainer.Close()
		second := fullPPO(t, form, dir, 5)
		got = append(got, mustRun(t, second)...)
		if weights(t, second) != weights(t, whole) || criticWeights(t, second) != criticWeights(t, whole) {
			t.Errorf("%s: weights differ", form)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: metrics differ:\n%v\n%v", form, got, want)
		}
	}
}

func TestAnotherCriticIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		form   string
		change func(*GRPO)
	}{
		"gamma":           {"shared trunk", func(g *GRPO) { g.Critic.Gamma = 0.5 }},
		"lam":             {"shared trunk", func(g *GRPO) { g.Critic.Lambda = 0.5 }},
		"vf_coef":         {"shared trunk", func(g *GRPO) { g.Critic.Coef = 0.25 }},
		"cliprange_value": {"own network", func(g *GRPO) { g.Critic.ClipRange = 0.5 }},
		"critic_warmup":   {"own network", func(g *GRPO) { g.Critic.Warmup = 2 }},
		"critic-train.json: the nested Trainer: it is of another run:\n\toptimizer": {"own network", func(g *GRPO) {
			g.Critic.Trainer.Optimizer = train.AdamW{LR: 1e-3}
		}},
		"Schedule after step": {"own network", func(g *GRPO) { g.Critic.Trainer.Schedule = train.Constant(2) }},
	} {
		dir := t.TempDir()
		mustRun(t, fullPPO(t, c.form, dir, 2))
		other := fullPPO(t, c.form, dir, 3)
		c.change(other)
		before := weights(t, other)
		wantError(t, other.Run(context.Background()), name)
		if weights(t, other) != before {
			t.Errorf("%s: the policy was changed", name)
		}
		other.Trainer.Close()
	}
	// A checkpoint without the critic's file is not complete.
	dir := t.TempDir()
	mustRun(t, fullPPO(t, "own network", dir, 2))
	files, err := filepath.Glob(filepath.Join(dir, "step-*", "critic-model.safetensors"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, error %v", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	wantError(t, fullPPO(t, "own network", dir, 3).Run(context.Background()), "critic-model.safetensors")
}

func TestBadCriticsAreErrors(t *testing.T) {
	for _, c := range []struct {
		form, want string
		spoil      func(*GRPO)
	}{
		{"own network", "GRPO.Critic.Head is nil", func(g *GRPO) { g.Critic.Head = nil }},
		{"own network", "GRPO.Critic.Head, score.weight, is not among", func(g *GRPO) { g.Critic.Trainer = nil }},
		{"own network", "want [1 16]", func(g *GRPO) { g.Critic.Head = g.Critic.Trainer.Model.Norm }},
		{"shared trunk", "is not Trainable", func(g *GRPO) { g.Critic.Head.Trainable = false }},
		{"shared trunk", "GRPO.Critic.Warmup is set without", func(g *GRPO) { g.Critic.Warmup = 1 }},
		{"own network", "GRPO.Critic.Warmup is -1", func(g *GRPO) { g.Critic.Warmup = -1 }},
		{"own network", "GRPO.Critic.Warmup is 3, and Steps is 3", func(g *GRPO) { g.Critic.Warmup, g.Steps = 3, 3 }},
		{"own network", "GRPO.Critic.Coef is set with", func(g *GRPO) { g.Critic.Coef = 1 }},
		{"shared trunk", "GRPO.Critic.Coef is NaN", func(g *GRPO) { g.Critic.Coef = math.NaN() }},
		{"shared trunk", "GRPO.Critic.Gamma is 1.5", func(g *GRPO) { g.Critic.Gamma = 1.5 }},
		{"shared trunk", "GRPO.Critic.Lambda is -1", func(g *GRPO) { g.Critic.Lambda = -1 }},
		{"shared trunk", "GRPO.Critic.ClipRange is +Inf", func(g *GRPO) { g.Critic.ClipRange = math.Inf(1) }},
		{"own network", "GRPO.Critic.Trainer trains the policy", func(g *GRPO) { g.Critic.Trainer = g.Trainer }},
		{"own network", "GRPO.Critic.Trainer.Model is nil", func(g *GRPO) { g.Critic.Trainer = &train.Trainer{} }},
		{"own network", "GRPO.Critic.Trainer.Dir is set", func(g *GRPO) { g.Critic.Trainer.Dir = "x" }},
		{"own network", "has vocab_size 16, the policy 17", func(g *GRPO) { g.Trainer.Model.Config.VocabSize = 17 }},
		{"own network", "critic: train: Trainer.Optimizer is nil", func(g *GRPO) { g.Critic.Trainer.Optimizer = nil }},
		{"shared trunk", "GRPO.SkipZeroStd is set with Critic", func(g *GRPO) { g.SkipZeroStd = true }},
		{"shared trunk", "GRPO.Scaling or StdEps is set with Critic", func(g *GRPO) { g.Scaling = ScaleNone }},
		{"shared trunk", "GRPO.Advantages is set with Critic", func(g *GRPO) {
			g.Advantages = func(r *Rollout) [][]float64 { return nil }
		}},
	} {
		g := newPPO(t, c.form, model.Options{})
		c.spoil(g)
		_, err := g.Step(context.Background())
		wantError(t, err, c.want)
	}
	g := newPPO(t, "shared trunk", model.Options{})
	mustStep(t, g)
	g.Critic.Lambda = 0.5
	_, err := g.Step(context.Background())
	wantError(t, err, "GRPO.Critic.Lambda is 0.5, it was 0 at the first step")
	if _, err := NewValueHead(g.Trainer.Model); err == nil || !strings.Contains(err.Error(), "score.weight already") {
		t.Errorf("a second head: %v", err)
	}
	short := newPPO(t, "own network", model.Options{})
	short.Critic.Trainer.Model.Config.MaxPositionEmbeddings = 4
	_, err = short.Step(context.Background())
	wantError(t, err, "step 0: values of the rollout", "max_position_embeddings of the critic is 4")
}

// A run whose critic fails after its first update cannot continue.
func TestACriticThatFailsHalfwayEndsTheRun(t *testing.T) {
	g := newPPO(t, "own network", model.Options{})
	g.Trainer.Dir, g.MiniBatches = t.TempDir(), 2
	g.Critic.Trainer.Schedule = func(step int, _ int64) float64 {
		if step == 1 {
			return math.NaN()
		}
		return 1
	}
	for range 2 {
		_, err := g.Step(context.Background())
		wantError(t, err, "rl: step 0: critic:", "NaN")
	}
	if n := g.versions(); n != [2]int{1, 1} {
		t.Errorf("%v updates were made", n)
	}
}

// A warm-up step whose rollout does not match the trained model fails after the critic's
// update, and cannot be repeated without resuming.
func TestAMismatchAfterTheCriticsUpdateEndsTheRun(t *testing.T) {
	g := newPPO(t, "own network", model.Options{})
	g.Critic.Warmup, g.FailOnMismatch = 2, true
	g.OnRollout = func(r *Rollout) { r.Samples[0].LogProbs[0] -= 1 }
	for range 2 {
		_, err := g.Step(context.Background())
		wantError(t, err, "log-probabilities of trainer and rollout differ")
	}
	if n := g.versions(); n != [2]int{0, 1} {
		t.Errorf("%v updates were made", n)
	}
}

// With γ = λ = 1/2 and values of 0, a return is r_t + r_{t+1}/4 + r_{t+2}/16. The reward of
// a completion is that of its last token, rewards of steps are those of their last tokens,
// and RewardKL times log μ/π_ref, with log μ = 0, is subtracted from each token.
func TestRewardsOfTokensReachTheCritic(t *testing.T) {
	for form := range ppoForms {
		g := newPPO(t, form, model.Options{})
		s := script(g)
		s.write = func(place, _ int) rollout.Sample {
			n := place%3 + 1
			return rollout.Sample{Prompt: place, IDs: slices.Repeat([]int32{7}, n), LogProbs: make([]float64, n),
				Text: strings.Repeat("7", n)}
		}
		g.Critic.Gamma, g.Critic.Lambda, g.RewardKL = 0.5, 0.5, 0.5
		g.Process = func(_ context.Context, r *Rollout) ([][]StepReward, error) {
			all := make([][]StepReward, len(r.Samples))
			for i, s := range r.Samples {
				switch len(s.IDs) {
				case 3:
					all[i] = []StepReward{{Token: 0, Value: 1}, {Token: 1, Value: -2}}
				case 2:
					all[i] = []StepReward{{Token: 1, Value: 4}}
				}
			}
			return all, nil
		}
		g.Alarms = Thresholds{MaxKL: -1, MaxTruncated: -1, MaxClipRatio: -1}
		g.OnRollout = func(r *Rollout) {
			var all [][]float64
			for i := range r.Samples {
				ref := r.RefLogProbs[i]
				var want []float64
				switch len(ref) {
				case 1: // one seven
					want = []float64{1 + ref[0]/2}
				case 2: // two sevens, and 4 for a step
					want = []float64{ref[0]/2 + (6+ref[1]/2)/4, 6 + ref[1]/2}
				case 3:
					want = []float64{
						(1 + ref[0]/2) + (-2+ref[1]/2)/4 + (3+ref[2]/2)/16, (-2 + ref[1]/2) + (3+ref[2]/2)/4, 3 + ref[2]/2,
					}
				}
				for j, v := range want {
					if ref[j] > -1 {
						t.Errorf("%s: log π_ref of token %d of %d is %g: the case shows too little", form, j, i, ref[j])
					}
					near(t, fmt.Sprintf("%s: return of token %d of %d", form, j, i), r.Returns[i][j], v, 1e-12)
				}
				all = append(all, want)
			}
			n, mean, variance := moments(all)
			for i, want := range all {
				for j, v := range want {
					near(t, fmt.Sprintf("%s: advantage of token %d of %d", form, j, i), r.Advantages.Token[i][j],
						(v-mean)/math.Sqrt(variance*n/(n-1)), 1e-6)
				}
			}
		}
		mustStep(t, g)
	}
}
