package rl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// tiny returns a DeepSeek-V3 config with MLA and experts, small enough for many steps in a
// second.
func tiny() model.Config {
	c := model.Tiny(16)
	c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.EOSTokenID = 32, 48, 2, model.TokenIDs{1}
	c.NumAttentionHeads, c.NumKeyValueHeads, c.MaxPositionEmbeddings = 2, 2, 32
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 16, 16, 8, 8, 8
	c.NRoutedExperts, c.MoEIntermediateSize, c.NumNextNPredictLayers = 4, 16, 0
	return c
}

// sevens rewards a completion by the share of its tokens that are 7.
func sevens(_ context.Context, s reward.Sample) reward.Verdict {
	v := reward.Verdict{Value: float64(strings.Count(s.Completion, "7")) / float64(len(s.IDs)), Status: reward.Wrong}
	if v.Value == 1 {
		v.Status = reward.Correct
	}
	return v
}

func hexText(ids []int32) string {
	text := make([]byte, len(ids))
	for i, id := range ids {
		text[i] = "0123456789abcdef"[id]
	}
	return string(text)
}

// newRun returns a GRPO on new weights: 4 prompts × 4 completions of up to 8 tokens.
func newRun(t testing.TB, b backend.Backend, o model.Options) *GRPO {
	t.Helper()
	m, err := model.NewWith(b, tiny(), 3, o)
	if err != nil {
		t.Fatal(err)
	}
	return newRunOf(t, m)
}

func newRunOf(t testing.TB, m *model.Model) *GRPO {
	t.Helper()
	gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 8, MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	g := task(m, gen)
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		g.Trainer.Close()
		gen.Close()
		m.Free()
	})
	return g
}

// generator returns the Sampler of a run of newRun.
func generator(g *GRPO) *rollout.Generator { return g.Sampler.(*rollout.Generator) }

// task returns a run that trains m to write sevens.
func task(m *model.Model, gen *model.Generator) *GRPO {
	return &GRPO{
		Trainer: &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-2}, Seed: 5, Log: slog.New(slog.DiscardHandler)},
		Sampler: &rollout.Generator{Generator: gen, Decode: hexText, MaxTokens: 8},
		Data: func(step int) ([]rollout.Prompt, error) {
			prompts := make([]rollout.Prompt, 4)
			for i := range prompts {
				prompts[i] = rollout.Prompt{IDs: []int32{0, int32(2 + (step+i)%14)}, Text: "go"}
			}
			return prompts, nil
		},
		Reward: &reward.Suite{Funcs: []reward.Func{{Name: "sevens", Score: sevens}}},
		G:      4, Steps: 3, FailOnMismatch: true,
	}
}

func mustStep(t testing.TB, g *GRPO) train.Metrics {
	t.Helper()
	m, err := g.Step(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func weights(t testing.TB, g *GRPO) string {
	t.Helper()
	sum, err := train.WeightsSHA256(g.Trainer.Model.Params.All())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// The importance ratio of the first update is exactly 1 in every step, for every sampling
// setting, in both precisions and in both forms of MLA.
func TestFirstUpdateIsOnPolicyBitForBit(t *testing.T) {
	for _, sampling := range []model.Sampling{
		{}, {Temperature: 0.7}, {Temperature: 1.3}, {Temperature: 0.6, TopP: 0.95}, {TopK: 5},
		{Temperature: 1.2, TopK: 7, TopP: 0.6}, {TopK: 1000, TopP: 1},
	} {
		for _, o := range []model.Options{
			{}, {Absorbed: true}, {Precision: backend.BF16}, {Precision: backend.BF16, Absorbed: true}, {DType: backend.F64},
		} {
			g := newRun(t, openCPU(t), o)
			generator(g).Sampling = sampling
			g.NumIterations = 2
			g.Objective = Objective{Beta: 0.01, EntropyCoef: 0.01}
			g.Trainer.MaxRows = 30
			for range 3 {
				m := mustStep(t, g).Values
				for name, want := range map[string]float64{
					"sampling/sampling_logp_difference/mean": 0, "sampling/sampling_logp_difference/max": 0,
					"sampling/importance_sampling_ratio/min": 1, "sampling/importance_sampling_ratio/mean": 1,
					"sampling/importance_sampling_ratio/max": 1,
				} {
					if got, ok := m[name]; !ok || got != want {
						t.Errorf("%+v, %+v: %s = %v, want %v", sampling, o, name, got, want)
					}
				}
				if m["approx_kl"] == 0 {
					t.Error("the second update still has the old policy's log-probabilities")
				}
			}
		}
	}
}

func TestFlippedBitIsNoticed(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	g.FailOnMismatch = false
	flip := func(r *Rollout) {
		lp := &r.Samples[6].LogProbs[0]
		*lp = float64(math.Float32frombits(math.Float32bits(float32(*lp)) ^ 1))
	}
	g.OnRollout = flip
	m := mustStep(t, g).Values
	if d := m["sampling/sampling_logp_difference/max"]; !(d > 0 && d < 1e-6) {
		t.Errorf("difference after one flipped bit: %g", d)
	}
	g.FailOnMismatch = true
	before := weights(t, g)
	if _, err := g.Step(context.Background()); err == nil || !strings.Contains(err.Error(), "differ by up to") {
		t.Errorf("error is %v", err)
	}
	if weights(t, g) != before {
		t.Error("the mismatch was found after the weights changed")
	}
}

func TestStepImprovesReward(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	first, last := 0.0, 0.0
	const steps = 30
	for i := range steps {
		r := mustStep(t, g).Values["reward"]
		switch {
		case i < 5:
			first += r / 5
		case i >= steps-5:
			last += r / 5
		}
	}
	// At random, one token in 16 is a 7.
	if first > 0.25 || last < 0.6 {
		t.Errorf("mean reward %.3f in the first steps, %.3f in the last", first, last)
	}
}

func TestShuffledRewardsDoNotTeach(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	g.Shuffle = true
	last := 0.0
	for i := range 30 {
		if r := mustStep(t, g).Values["reward"]; i >= 25 {
			last += r / 5
		}
	}
	if last > 0.3 {
		t.Errorf("mean reward %.3f after learning from shuffled rewards", last)
	}
}

func TestShuffleIsASeededPermutation(t *testing.T) {
	rewards := make([]reward.Verdict, 40)
	for i := range rewards {
		rewards[i] = reward.Verdict{Value: float64(i), Status: reward.Wrong}
	}
	other := slices.Clone(rewards)
	values := func(verdicts []reward.Verdict) (v []float64) {
		for _, x := range verdicts {
			v = append(v, x.Value)
		}
		return v
	}
	before := values(rewards)
	shuffle(rewards, 9)
	shuffle(other, 9)
	after := values(rewards)
	if !slices.Equal(after, values(other)) {
		t.Error("one seed, two permutations")
	}
	if slices.Equal(after, before) {
		t.Error("the order did not change")
	}
	if slices.Sort(after); !slices.Equal(after, before) {
		t.Error("rewards were lost")
	}
}

func TestSameBitsWhateverGOMAXPROCS(t *testing.T) {
	var sums []string
	for _, procs := range []int{1, 2} {
		was := runtime.GOMAXPROCS(procs)
		g := newRun(t, openCPU(t), model.Options{})
		g.NumIterations, g.MiniBatches = 2, 2
		for range 3 {
			mustStep(t, g)
		}
		sums = append(sums, weights(t, g))
		runtime.GOMAXPROCS(was)
	}
	if sums[0] != sums[1] {
		t.Error("weights differ between GOMAXPROCS 1 and 2")
	}
}

// gradients returns all gradients of g's model in one slice.
func gradients(t testing.TB, g *GRPO) []float64 {
	t.Helper()
	var all []float64
	for _, p := range g.Trainer.Model.Params.All() {
		if !p.HasGrad() {
			continue
		}
		v, err := p.Grad()
		if err != nil {
			t.Fatal(err)
		}
		x, err := backend.Values(p.Backend(), v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x...)
	}
	return all
}

// relative returns ‖a−b‖/‖b‖.
func relative(a, b []float64) float64 {
	var d, n float64
	for i := range a {
		d += (a[i] - b[i]) * (a[i] - b[i])
		n += b[i] * b[i]
	}
	return math.Sqrt(d / n)
}

func TestMicroBatchesChangeNothing(t *testing.T) {
	for _, c := range []struct {
		dtype     backend.DType
		tolerance float64
	}{{backend.F64, 1e-12}, {backend.F32, 1e-6}} {
		for _, loss := range []LossType{LossGRPO, LossDAPO, LossDrGRPO, LossBNPO} {
			var losses []float64
			var grads [][]float64
			for _, rows := range []int{0, 1, 25} {
				g := newRun(t, openCPU(t), model.Options{DType: c.dtype})
				g.LossType = loss
				g.Objective = Objective{Beta: 0.1, EntropyCoef: 0.01}
				g.Trainer.MaxRows = rows
				g.Trainer.BalanceAlpha = 0.01
				losses = append(losses, mustStep(t, g).Values["loss"])
				grads = append(grads, gradients(t, g))
			}
			for i := 1; i < 3; i++ {
				near(t, fmt.Sprintf("%v %s: loss", c.dtype, loss), losses[i], losses[0], c.tolerance)
				if d := relative(grads[i], grads[0]); !(d <= c.tolerance) {
					t.Errorf("%v %s: gradients of split %d differ by %g", c.dtype, loss, i, d)
				}
			}
		}
	}
}

// MeanWeight gives the mean over the completion tokens of an update, for every split into
// micro-batches and every LossType.
func TestMeanWeightsSumToOneInAnUpdate(t *testing.T) {
	for _, loss := range []LossType{LossGRPO, LossDrGRPO} {
		g := newRun(t, openCPU(t), model.Options{DType: backend.F64})
		g.LossType, g.MiniBatches, g.Trainer.MaxRows = loss, 2, 25
		sum, micros := 0.0, 0
		g.Loss = func(tokens Tokens) tensor.Tensor {
			w, err := tokens.MeanWeight.Values()
			if err != nil {
				t.Fatal(err)
			}
			completion, err := tokens.Weight.Values()
			if err != nil {
				t.Fatal(err)
			}
			for i := range w {
				sum += w[i]
				if (w[i] == 0) != (completion[i] == 0) {
					t.Errorf("row %d has weight %g, its mean weight is %g", i, completion[i], w[i])
				}
			}
			micros++
			return g.Objective.Loss(tokens)
		}
		mustStep(t, g)
		if micros < 4 {
			t.Fatalf("%d micro-batches: the test is not conclusive", micros)
		}
		near(t, "sum of the mean weights of two updates", sum, 2, 1e-12)
	}
}

func TestWhatIsInTheLoss(t *testing.T) {
	var alarms []string
	for _, c := range []struct{ skip, mask bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		g := newRun(t, openCPU(t), model.Options{})
		calls := 0
		g.Reward.Workers = 1 // calls in order
		g.Reward.Funcs[0].Score = func(_ context.Context, s reward.Sample) reward.Verdict {
			calls++
			switch i := calls - 1; {
			case i < 4: // all rewards of group 0 are equal
				return reward.Verdict{Value: 1, Status: reward.Correct}
			case i == 5:
				return reward.Verdict{Status: reward.NotApplicable}
			case i == 6:
				return reward.Verdict{Status: reward.Error, Err: errors.New("boom")}
			default:
				return reward.Verdict{Value: float64(i % 2), Status: reward.Wrong}
			}
		}
		g.Alarms.MaxTruncated = -1
		g.OnAlarm = func(_ int, a []string) { alarms = append(alarms, a...) }
		g.SkipZeroStd, g.MaskTruncated = c.skip, c.mask
		truncated := 0
		g.OnRollout = func(r *Rollout) {
			for i, s := range r.Samples {
				cut := s.Finish == model.Truncated
				want := i != 5 && i != 6 && !(c.skip && i < 4) && !(c.mask && cut)
				if r.InLoss[i] != want {
					t.Errorf("%+v: sample %d (truncated: %v) in the loss: %v", c, i, cut, r.InLoss[i])
				}
				// Group 0 has no spread; samples 4 and 7 of group 1 have the rewards 0 and 1.
				if silent := i < 4 || i == 5 || i == 6; silent != (r.Advantages.Value[i] == 0) {
					t.Errorf("%+v: sample %d has advantage %g", c, i, r.Advantages.Value[i])
				}
				if cut {
					truncated++
				}
			}
			want := 14 // all samples with a reward
			if c.skip {
				want = 10
			}
			if n := g.kept(r); n != want {
				t.Errorf("%+v: %d samples in the normaliser, want %d", c, n, want)
			}
		}
		m := mustStep(t, g).Values
		if truncated == 0 || truncated == 16 {
			t.Fatalf("%d of 16 completions truncated: the test is not conclusive", truncated)
		}
		if m[MetricRewardZeroStd] != 0.25 || m["rewards/sevens/error"] != 1 || m["rewards/sevens/not_applicable"] != 1 {
			t.Errorf("metrics %v", m)
		}
	}
	if len(alarms) != 4 || !strings.Contains(alarms[0], "1 of 16 rewards failed, the first with: sevens: boom") {
		t.Errorf("alarms %q", alarms)
	}
}

// A step without samples in the loss makes no update, and the metrics of updates are absent.
// Its rollout is still compared with the trained model.
func TestNothingInTheLossMakesNoUpdate(t *testing.T) {
	for _, o := range []model.Options{{}, {Absorbed: true}, {Precision: backend.BF16}} {
		g := newRun(t, openCPU(t), o)
		g.Reward.Funcs[0].Score = func(context.Context, reward.Sample) reward.Verdict {
			return reward.Verdict{Value: 1, Status: reward.Correct}
		}
		g.SkipZeroStd, g.FailOnMismatch, g.Alarms.DeadSteps = true, true, 1
		var alarms []string
		g.OnAlarm = func(_ int, a []string) { alarms = a }
		before := weights(t, g)
		m := mustStep(t, g).Values
		if weights(t, g) != before {
			t.Errorf("%+v: the weights changed", o)
		}
		if _, ok := m["loss"]; ok || m["reward"] != 1 || m["frac_reward_zero_std"] != 1 {
			t.Errorf("%+v: metrics %v", o, m)
		}
		if d, ok := m[MetricSamplingDifferenceMax]; !ok || d != 0 {
			t.Errorf("%+v: log-probabilities differ by %g (measured: %t)", o, d, ok)
		}
		if len(alarms) == 0 || !strings.Contains(strings.Join(alarms, "\n"), "no group has a learning signal") {
			t.Errorf("%+v: alarms %q", o, alarms)
		}
		// Weights that differ from those of the rollout are detected.
		g.OnRollout = func(*Rollout) {
			p := g.Trainer.Model.Params.All()[0]
			x, err := p.Floats()
			if err != nil {
				t.Fatal(err)
			}
			for i := range x {
				x[i] *= 1.5
			}
			if err := p.SetFloats(x); err != nil {
				t.Fatal(err)
			}
		}
		_, err := g.Step(context.Background())
		wantError(t, err, "trainer and rollout differ")
	}
}

func TestReferenceModel(t *testing.T) {
	for _, temperature := range []float64{1, 0.7} {
		for _, absorbed := range []bool{false, true} {
			g := newRun(t, openCPU(t), model.Options{Absorbed: absorbed})
			generator(g).Sampling.Temperature = temperature
			g.Objective.Beta = 0.01
			g.RefSync = 2
			var kl []float64
			for range 4 {
				kl = append(kl, mustStep(t, g).Values["kl"])
			}
			// In steps 1 and 3 the reference model has just been updated: π_θ = π_ref exactly.
			if kl[0] != 0 || !(kl[1] > 0) || kl[2] != 0 || !(kl[3] > 0) {
				t.Errorf("temperature %g, absorbed %v: kl by step: %g", temperature, absorbed, kl)
			}
		}
	}
	if m := mustStep(t, newRun(t, openCPU(t), model.Options{})).Values; m["kl"] != 0 {
		t.Error("kl without a reference model")
	} else if _, ok := m["kl"]; ok {
		t.Error("there is a metric kl without a reference model")
	}
}

// MTP modules are trained on the sampled tokens, including the balance loss of their gates,
// if the Trainer has a Drafter; otherwise they do not change. The reference model ignores
// them.
func TestDrafterLearnsOnlyWhereAsked(t *testing.T) {
	var balance []float64
	for _, asked := range []bool{false, true} {
		c := tiny()
		c.NumNextNPredictLayers = 1
		m, err := model.New(openCPU(t), c, 3)
		if err != nil {
			t.Fatal(err)
		}
		d, err := mtp.New(m)
		if err != nil {
			t.Fatal(err)
		}
		g := newRunOf(t, m)
		g.Objective.Beta = 0.01
		g.Trainer.BalanceAlpha = 0.1
		if asked {
			g.Trainer.Drafter = d
		}
		before, err := d.Modules[0].EHProj.W.Floats()
		if err != nil {
			t.Fatal(err)
		}
		values := mustStep(t, g).Values
		_, observed := values["mtp_loss"]
		balance = append(balance, values["aux_loss"])
		after, err := d.Modules[0].EHProj.W.Floats()
		if err != nil {
			t.Fatal(err)
		}
		if moved := !slices.Equal(before, after); moved != asked || observed != asked {
			t.Errorf("asked %v: moved %v, observed %v", asked, moved, observed)
		}
	}
	if balance[0] == 0 || balance[1] < balance[0]+0.05 {
		t.Errorf("aux_loss %g with the drafter's gate, %g without, want a difference of α", balance[1], balance[0])
	}
}

func TestMiniBatchesDealEverySampleOnce(t *testing.T) {
	samples := make([]rollout.Sample, 11)
	var xs []trainSample
	total := 0
	for i := range samples {
		samples[i] = rollout.Sample{IDs: make([]int32, 1+i), LogProbs: make([]float64, 1+i)}
		xs = append(xs, newTrainSample(rollout.Prompt{IDs: []int32{0}}, &samples[i], make([]float64, 1+i)))
		total += 1 + i
	}
	for _, parts := range []int{1, 3, 11, 20} {
		seen := map[*rollout.Sample]int{}
		weight := 0.0
		batches := split{parts: parts, rows: 12, seed: 1, allSamples: 16, kept: 16, maxTokens: 32}.miniBatches(xs)
		for _, b := range batches {
			n, tokens := 0, 0
			for _, micro := range b.micro {
				for _, x := range micro {
					n++
					tokens += len(x.IDs)
					seen[x.Sample]++
					weight += x.weight * float64(len(x.IDs))
				}
			}
			if lo := 11 / min(parts, 11); n < lo || n > lo+1 {
				t.Errorf("%d parts: one has %d samples", parts, n)
			}
			if g := b.global; g.Sequences != n || g.Weight != float64(tokens) {
				t.Errorf("%d parts: normalisers %+v of %d samples with %d tokens", parts, g, n, tokens)
			}
		}
		if len(seen) != 11 || len(batches) != min(parts, 11) {
			t.Errorf("%d parts: %d batches with %d samples", parts, len(batches), len(seen))
		}
		// The weight of a token is parts/total in every update.
		near(t, "sum of the weights", weight, float64(len(batches)), 1e-12)
	}
}
