package rl

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// trlOffPolicy is the content of testdata/trl_off_policy.json, computed by TRL's trainer.
type trlOffPolicy struct {
	Tokens          []int           `json:"tokens"`
	Advantage       []float64       `json:"advantage"`
	SamplingLogProb []float64       `json:"sampling_log_prob"`
	OldLogProb      []float64       `json:"old_log_prob"`
	LogProb         []float64       `json:"log_prob"`
	RefLogProb      []float64       `json:"ref_log_prob"`
	Cases           []offPolicyCase `json:"cases"`
}

type offPolicyCase struct {
	Mode        Correction         `json:"vllm_importance_sampling_mode"`
	Max         *float64           `json:"clip_max"`
	Min         float64            `json:"clip_min"`
	Threshold   float64            `json:"off_policy_mask_threshold"`
	Level       Level              `json:"importance_sampling_level"`
	LossType    string             `json:"loss_type"`
	Beta        float64            `json:"beta"`
	Ratio       []float64          `json:"importance_sampling_ratio"`
	Loss        float64            `json:"loss"`
	GradLogProb []float64          `json:"grad_log_prob"`
	Metrics     map[string]float64 `json:"metrics"`
}

// grpo returns a GRPO with the same settings.
func (c offPolicyCase) grpo() *GRPO {
	g := trlCase{LossType: c.LossType, Level: c.Level, Epsilon: 0.2, EpsilonHigh: 0.28, Beta: c.Beta,
		TauPositive: 1, TauNegative: 1.0625}.grpo()
	g.OffPolicy = OffPolicy{Correction: c.Mode, Min: c.Min, MaskThreshold: c.Threshold}
	switch {
	case c.Mode == "":
	case c.Max == nil:
		g.OffPolicy.Cap = math.MaxFloat64
	case *c.Max != defaultCap:
		g.OffPolicy.Cap = *c.Max
	}
	return g
}

// Importance weights, losses, their gradients and metrics agree with TRL's code.
func TestOffPolicyCorrectionsAreTRLs(t *testing.T) {
	text, err := os.ReadFile("testdata/trl_off_policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var f trlOffPolicy
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	cut := verlPPO{Tokens: f.Tokens}.split
	sampling, old, ref := cut(f.SamplingLogProb), cut(f.OldLogProb), cut(f.RefLogProb)
	b := openCPU(t)
	for _, c := range f.Cases {
		g := c.grpo()
		name := fmt.Sprintf("%+v, %+v, %s", g.OffPolicy, g.Objective, g.LossType)
		if err := g.OffPolicy.validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var xs []trainSample
		for i, n := range f.Tokens {
			s := &rollout.Sample{IDs: make([]int32, n), LogProbs: sampling[i]}
			x := newTrainSample(rollout.Prompt{IDs: []int32{0}}, s, slices.Repeat(f.Advantage[i:i+1], n))
			x.ref = ref[i]
			xs = append(xs, x)
		}
		got := map[string]float64{}
		if c.Mode != "" {
			all := g.OffPolicy.correct(xs, old)
			all.enterSampling(got)
			k := 0
			for i, x := range xs {
				for j, w := range x.importance {
					near(t, fmt.Sprintf("%s: weight of token %d of %d", name, j, i), w, c.Ratio[k], 1e-9)
					k++
				}
			}
		}
		n := len(xs)
		mini := split{parts: 1, loss: g.LossType, allSamples: n, kept: n, maxTokens: 6}.miniBatches(xs)[0]
		row := lossCase{logProb: f.LogProb, entropy: make([]float64, len(f.LogProb)), ref: f.RefLogProb,
			mean: make([]float64, len(f.LogProb)), lengths: f.Tokens}
		for _, x := range mini.micro[0] {
			row.old, row.advantage = append(row.old, x.old()...), append(row.advantage, x.advantages...)
			row.weight = append(row.weight, slices.Repeat([]float64{x.weight}, len(x.IDs))...)
		}
		loss, byLogProb, _ := row.evaluate(t, b, func(tokens Tokens) tensor.Tensor {
			if _, err := g.OffPolicy.weigh(&tokens, mini.micro[0]); err != nil {
				t.Fatal(err)
			}
			return g.Objective.Loss(tokens)
		})
		near(t, name+": loss", loss, c.Loss, 1e-9)
		for k, want := range c.GradLogProb {
			near(t, fmt.Sprintf("%s: gradient %d", name, k), byLogProb[k], want, 1e-9)
		}
		var u update
		u.add(g.Objective, mini.micro[0], row.logProb, row.entropy)
		u.enter(train.Metrics{Values: got}, g.Objective, true, 1)
		for metric, want := range c.Metrics {
			v, ok := got[metric]
			if !ok {
				t.Errorf("%s: no metric %s", name, metric)
			}
			near(t, name+": "+metric, v, want, 1e-7) // TRL counts clipped tokens in float32
		}
	}
}

// corrections lists all corrections.
var corrections = []Correction{
	CorrectionTokenTruncate, CorrectionTokenMask, CorrectionSequenceTruncate, CorrectionSequenceMask,
}

// With a correction, the importance ratio of the first update is exactly 1 for every rollout
// model, and the importance weights come from the sampler's log-probabilities. Corrections
// can be combined with RouterReplay.
func TestCorrectedRolloutsAreOnPolicyBitForBit(t *testing.T) {
	for name, o := range rolloutOptions {
		for _, c := range corrections {
			for _, replay := range []bool{false, true} {
				g := newRouted(t, openCPU(t), model.Options{}, &o)
				g.OffPolicy.Correction, g.RouterReplay, g.MiniBatches, g.NumIterations = c, replay, 2, 2
				g.Trainer.MaxRows = 25
				updates := 0
				g.Loss = func(tokens Tokens) tensor.Tensor {
					now, old := must(t, tokens.LogProb), must(t, tokens.OldLogProb)
					if same := slices.Equal(now, old); updates == 0 && !same {
						t.Errorf("%s, %s: the first update is not on policy", name, c)
					}
					if !tokens.Importance.Present() {
						t.Fatal("the loss has no importance weights")
					}
					updates++
					return g.Objective.Loss(tokens)
				}
				m := mustStep(t, g).Values
				if !(m[MetricSamplingDifferenceMax] > 0) || m[MetricSamplingRatioMin] == 1 {
					t.Errorf("%s, %s: metrics %v: the test is not conclusive", name, c, m)
				}
			}
		}
	}
}

func must(t *testing.T, x tensor.Tensor) []float64 {
	t.Helper()
	v, err := x.Values()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// If the trained model itself generates the rollout, a correction changes no bit.
func TestCorrectionOfTheTrainedModelsRolloutChangesNothing(t *testing.T) {
	for _, o := range []model.Options{{}, {Absorbed: true}, {Precision: backend.BF16}, {DType: backend.F64}} {
		run := func(c Correction) string {
			g := newRun(t, openCPU(t), o)
			g.OffPolicy.Correction, g.NumIterations, g.MiniBatches = c, 2, 2
			for range 2 {
				m := mustStep(t, g).Values // FailOnMismatch is set
				if m[MetricSamplingRatioMin] != 1 || m[MetricSamplingRatioMax] != 1 || m[MetricSamplingDifferenceMax] != 0 {
					t.Errorf("%+v, %s: metrics %v", o, c, m)
				}
			}
			return weights(t, g)
		}
		plain := run("")
		for _, c := range corrections {
			if run(c) != plain {
				t.Errorf("%+v: %s gives other weights", o, c)
			}
		}
	}
}

// noise changes the log-probabilities of g's rollouts by up to 0.3, as if another model had
// generated them.
func noise(g *GRPO) {
	g.FailOnMismatch = false
	g.OnRollout = func(r *Rollout) {
		for i, s := range r.Samples {
			for j := range s.LogProbs {
				s.LogProbs[j] += 0.3 * math.Sin(float64(7*i+3*j))
			}
		}
	}
}

// The off-policy sequence mask of one update agrees with one computed from the
// log-probabilities in the loss.
func TestSequenceMaskByHand(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{DType: backend.F64})
	noise(g)
	g.OffPolicy.MaskThreshold = 0.01
	dropped, kept, all := 0., 0, 0.
	g.Loss = func(tokens Tokens) tensor.Tensor {
		now, old := must(t, tokens.LogProb), must(t, tokens.OldLogProb)
		a, got := must(t, tokens.Advantage), must(t, tokens.Importance)
		at := 0
		for _, q := range tokens.Batch.Host {
			sum, n := 0., 0.
			for i, w := range q.Weight {
				if w != 0 {
					sum += old[at+i] - now[at+i]
					n++
				}
			}
			for i, w := range q.Weight {
				want := 0.
				switch {
				case w == 0:
				case a[at+i] < 0 && sum/n > 0.01:
					dropped++
				default:
					want = 1
					kept++
				}
				if got[at+i] != want {
					t.Errorf("row %d: weight %g, want %g", at+i, got[at+i], want)
				}
			}
			all += n
			at += q.Rows()
		}
		return g.Objective.Loss(tokens)
	}
	m := mustStep(t, g).Values
	if dropped == 0 || kept == 0 {
		t.Fatalf("%g tokens dropped, %d kept: the test is not conclusive", dropped, kept)
	}
	near(t, MetricOffPolicyMasked, m[MetricOffPolicyMasked], dropped/all, 1e-15)
}

// Corrections and masks are the same for every split into micro-batches.
func TestMicroBatchesChangeNothingOffPolicy(t *testing.T) {
	for _, c := range []struct {
		dtype     backend.DType
		tolerance float64
	}{{backend.F64, 1e-9}, {backend.F32, 1e-6}} {
		for _, o := range append(corrections, "") {
			var losses []float64
			var grads [][]float64
			for _, rows := range []int{0, 1, 25} {
				g := newRun(t, openCPU(t), model.Options{DType: c.dtype})
				noise(g)
				g.OffPolicy = OffPolicy{Correction: o, MaskThreshold: 0.02}
				if o != "" {
					g.OffPolicy.Cap = 1.1
				}
				g.Trainer.MaxRows = rows
				losses = append(losses, mustStep(t, g).Values["loss"])
				grads = append(grads, gradients(t, g))
			}
			for i := 1; i < 3; i++ {
				near(t, fmt.Sprintf("%v %s: loss", c.dtype, o), losses[i], losses[0], c.tolerance)
				if d := relative(grads[i], grads[0]); !(d <= c.tolerance) {
					t.Errorf("%v %s: gradients of split %d differ by %g", c.dtype, o, i, d)
				}
			}
		}
	}
}

// A resumed run with corrected and masked rollouts in Q8 gives the same bits as an
// uninterrupted one.
func TestOffPolicyResumes(t *testing.T) {
	q8 := rolloutOptions["q8"]
	start := func(dir string, steps int) *GRPO {
		g := newRouted(t, openCPU(t), model.Options{}, &q8)
		g.Trainer.Dir, g.Steps, g.RouterReplay, g.NumIterations, g.MiniBatches = dir, steps, true, 2, 2
		g.OffPolicy = OffPolicy{Correction: CorrectionTokenTruncate, Cap: 1.01, MaskThreshold: 0.001}
		g.Objective.Beta = 0.05
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
		"importance_sampling_mode":     func(g *GRPO) { g.OffPolicy.Correction = CorrectionTokenMask },
		"importance_sampling_clip_max": func(g *GRPO) { g.OffPolicy.Cap = 2 },
		"importance_sampling_clip_min": func(g *GRPO) { g.OffPolicy.Min = 0.5 },
		"off_policy_mask_threshold":    func(g *GRPO) { g.OffPolicy.MaskThreshold = 1 },
		"off_policy":                   func(g *GRPO) { g.OffPolicy = OffPolicy{} },
	} {
		g := start(dir, 5)
		change(g)
		wantError(t, g.Run(context.Background()), want)
		g.Trainer.Close()
	}
}

// A step without an update has the metrics of its corrected rollout too.
func TestCorrectionWithoutAnUpdate(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	noise(g)
	g.OffPolicy, g.SkipZeroStd = OffPolicy{Correction: CorrectionTokenMask, Cap: 1.1}, true
	g.Reward.Funcs[0].Score = func(context.Context, reward.Sample) reward.Verdict {
		return reward.Verdict{Status: reward.Wrong}
	}
	m := mustStep(t, g).Values
	if _, ok := m["loss"]; ok || m[MetricSamplingRatioMin] != 0 || !(m[MetricSamplingRatioMax] > 1) {
		t.Errorf("metrics %v", m)
	}
	g.FailOnMismatch = true
	_, err := g.Step(context.Background())
	wantError(t, err, "differ by up to")
}

// FailOnMismatch compares before the first update, which then does not happen.
func TestCorrectionOfAMismatchFails(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	noise(g)
	g.OffPolicy.Correction, g.FailOnMismatch = CorrectionSequenceMask, true
	before := weights(t, g)
	_, err := g.Step(context.Background())
	wantError(t, err, "log-probabilities of trainer and rollout differ")
	if weights(t, g) != before {
		t.Error("the weights changed")
	}
}

func TestBadCorrectionsAreErrors(t *testing.T) {
	for want, o := range map[string]OffPolicy{
		`OffPolicy.Correction is "sequence", want token_truncate`: {Correction: "sequence"},
		"OffPolicy.Cap is 2 without OffPolicy.Correction":         {Cap: 2},
		"OffPolicy.Min is 0.5 without OffPolicy.Correction":       {Min: 0.5, MaskThreshold: 1},
		"OffPolicy.Min is 3, want less than OffPolicy.Cap":        {Correction: CorrectionTokenMask, Min: 3},
		"OffPolicy.Cap and OffPolicy.Min are both unbounded": {
			Correction: CorrectionTokenTruncate, Cap: math.MaxFloat64,
		},
		"OffPolicy.Cap is NaN":          {Correction: CorrectionTokenTruncate, Cap: math.NaN()},
		"OffPolicy.MaskThreshold is -1": {MaskThreshold: -1},
	} {
		g := newRun(t, openCPU(t), model.Options{})
		g.OffPolicy = o
		_, err := g.Step(context.Background())
		wantError(t, err, "rl: GRPO."+want)
	}
}
