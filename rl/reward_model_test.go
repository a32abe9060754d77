package rl

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
	"github.com/aha-go/aha/rl/reward"
)

// rewardModels is the content of testdata/reward_model.json, computed by transformers and TRL.
type rewardModels struct {
	Separator int32 `json:"separator"`
	Outcome   struct {
		Pairs []struct {
			Prompt, Chosen, Rejected []int32
			Margin                   float64
		}
		Scores []float64 // by pair, chosen before rejected
		Cases  []struct {
			Margins   bool
			Center    float64
			Loss      float64
			Metrics   map[string]float64
			Gradients map[string][]float64
		}
	}
	Process struct {
		Solutions []struct {
			Prompt, Completion, Labels []int32
		}
		Logits    [][2]float64
		Loss      float64
		Gradients map[string][]float64
	}
}

func readRewardModels(t testing.TB) (f rewardModels) {
	t.Helper()
	text, err := os.ReadFile("testdata/reward_model.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f rewardModels) pairs() (pairs []Pair) {
	for _, p := range f.Outcome.Pairs {
		pairs = append(pairs, Pair{Prompt: p.Prompt, Chosen: p.Chosen, Rejected: p.Rejected})
	}
	return pairs
}

func (f rewardModels) solutions() (all []Solution) {
	for _, s := range f.Process.Solutions {
		x := Solution{Prompt: s.Prompt, Completion: s.Completion}
		for i, label := range s.Labels {
			if label >= 0 {
				x.Steps = append(x.Steps, StepLabel{i, label == 1})
			}
		}
		all = append(all, x)
	}
	return all
}

// ofPairs returns the completions of pairs as solutions, each chosen one first.
func ofPairs(pairs []Pair) (all []Solution) {
	for _, p := range pairs {
		for _, completion := range [][]int32{p.Chosen, p.Rejected} {
			all = append(all, Solution{Prompt: p.Prompt, Completion: completion})
		}
	}
	return all
}

func loadOutcome(t testing.TB, path string, dt backend.DType) *OutcomeModel {
	t.Helper()
	o, _, err := LoadOutcomeModel(openCPU(t), path, model.LoadOptions{Options: model.Options{DType: dt}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Model.Free)
	return o
}

func loadProcess(t testing.TB, path string, dt backend.DType) *ProcessModel {
	t.Helper()
	p, _, err := LoadProcessModel(openCPU(t), path, StepsEndAt(15), model.LoadOptions{Options: model.Options{DType: dt}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Model.Free)
	return p
}

// teacher returns a Trainer of m.
func teacher(t testing.TB, m *model.Model, rows int) *train.Trainer {
	t.Helper()
	tr := &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: 1e-2}, MaxRows: rows, Seed: 5, Log: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(tr.Close)
	return tr
}

func gradientsOf(t testing.TB, m *model.Model, names ...string) map[string][]float64 {
	t.Helper()
	out := map[string][]float64{}
	for _, name := range names {
		g, err := m.Params.Get(name).Grad()
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = backend.Values(m.Backend(), g); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// precisions are the dtypes of the comparisons with transformers, and their tolerances.
var precisions = []struct {
	dt        backend.DType
	tolerance float64
}{{backend.F64, 1e-10}, {backend.F32, 5e-6}}

// Scores, losses, gradients and metrics agree with those of transformers and TRL's
// RewardTrainer, for every split into micro-batches.
func TestOutcomeModelIsTransformersTrainedByTRL(t *testing.T) {
	f := readRewardModels(t)
	if len(f.Outcome.Cases) != 6 {
		t.Fatalf("%d cases", len(f.Outcome.Cases))
	}
	for _, p := range precisions {
		for _, rows := range []int{0, 9} {
			o := loadOutcome(t, "testdata/outcome_model", p.dt)
			o.MaxRows = rows
			scores, err := o.Score(t.Context(), ofPairs(f.pairs()))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range f.Outcome.Scores {
				near(t, fmt.Sprintf("%v: score %d", p.dt, i), scores[i], want, p.tolerance)
			}
			for _, c := range f.Outcome.Cases {
				name := fmt.Sprintf("%v, rows %d, margins %t, center %g: ", p.dt, rows, c.Margins, c.Center)
				o := loadOutcome(t, "testdata/outcome_model", p.dt)
				pairs := f.pairs()
				for i, pair := range f.Outcome.Pairs {
					if c.Margins {
						pairs[i].Margin = pair.Margin
					}
				}
				tr := OutcomeTraining{
					Trainer: teacher(t, o.Model, rows), Model: o, Pairs: pairs, Held: pairs, CenterRewards: c.Center,
				}
				held, err := tr.Evaluate(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				m, err := tr.Step(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				near(t, name+"loss", m.Values["loss"], c.Loss, p.tolerance)
				near(t, name+"eval_loss", held["eval_loss"], c.Loss, p.tolerance)
				if len(c.Metrics) != 5 {
					t.Errorf("%d metrics of TRL", len(c.Metrics))
				}
				for metric, want := range c.Metrics {
					near(t, name+metric, m.Values[metric], want, p.tolerance)
					near(t, name+"eval_"+metric, held["eval_"+metric], want, p.tolerance)
				}
				compareGradients(t, name, o.Model, c.Gradients, p.tolerance)
			}
		}
	}
}

func compareGradients(t *testing.T, name string, m *model.Model, want map[string][]float64, tolerance float64) {
	t.Helper()
	if len(want) < 3 {
		t.Errorf("%d gradients", len(want))
	}
	for param, g := range gradientsOf(t, m, slices.Collect(maps.Keys(want))...) {
		if d := relative(g, want[param]); !(d <= tolerance) {
			t.Errorf("%sgradient of %s differs by %g", name, param, d)
		}
	}
}

// Scores of steps, losses and gradients agree with those of transformers, at the tokens that
// TRL's PRMTrainer labels, for every split into micro-batches.
func TestProcessModelIsTransformersTrainedByTRL(t *testing.T) {
	f := readRewardModels(t)
	for _, p := range precisions {
		for _, rows := range []int{0, 9} {
			name := fmt.Sprintf("%v, rows %d: ", p.dt, rows)
			pm := loadProcess(t, "testdata/process_model", p.dt)
			pm.MaxRows = rows
			all := f.solutions()
			steps, err := pm.Score(t.Context(), all)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for i, x := range all {
				if len(steps[i]) != len(x.Steps) {
					t.Fatalf("%ssolution %d has %d steps, TRL labels %d", name, i, len(steps[i]), len(x.Steps))
				}
				for j, s := range steps[i] {
					z := f.Process.Logits[at]
					if s.Token != x.Steps[j].Token {
						t.Errorf("%ssolution %d: step %d ends at %d, TRL's at %d", name, i, j, s.Token, x.Steps[j].Token)
					}
					near(t, fmt.Sprintf("%sstep %d", name, at), s.Value, math.Exp(z[1])/(math.Exp(z[0])+math.Exp(z[1])), p.tolerance)
					at++
				}
			}
			if at != len(f.Process.Logits) || at < 6 {
				t.Errorf("%d steps, transformers has %d", at, len(f.Process.Logits))
			}
			tr := ProcessTraining{Trainer: teacher(t, pm.Model, rows), Model: pm, Solutions: all, Held: all}
			held, err := tr.Evaluate(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m, err := tr.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			near(t, name+"loss", m.Values["loss"], f.Process.Loss, p.tolerance)
			near(t, name+"eval_loss", held["eval_loss"], f.Process.Loss, p.tolerance)
			compareGradients(t, name, pm.Model, f.Process.Gradients, p.tolerance)
			right, at := 0, 0
			for _, class := range stepTargets(all) {
				if z := f.Process.Logits[at]; (z[1] > z[0]) == (class == 1) {
					right++
				}
				at++
			}
			if want := float64(right) / float64(at); m.Values["accuracy"] != want || held["eval_accuracy"] != want {
				t.Errorf("%saccuracy %g, evaluated %g, want %g", name, m.Values["accuracy"], held["eval_accuracy"], want)
			}
		}
	}
}

// Gradients of losses with weights, margins and centring agree with finite differences.
func TestRewardModelGradientsAgreeWithFiniteDifferences(t *testing.T) {
	const seed, n, h = 9, 4, 1e-5
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b := openCPU(t)
	pairs := make([]Pair, n)
	for i := range pairs {
		pairs[i] = Pair{Margin: r.NormFloat64(), Weight: 0.1 + r.Float64()}
	}
	o := &OutcomeTraining{CenterRewards: 0.3}
	for name, c := range map[string]struct {
		shape []int
		loss  func(y tensor.Tensor) tensor.Tensor
	}{
		"outcome": {[]int{2 * n, 1}, func(y tensor.Tensor) tensor.Tensor { return o.loss(y, pairs, totalWeight(pairs)) }},
		"process": {[]int{n, 2}, func(y tensor.Tensor) tensor.Tensor { return stepLoss(y, []int32{1, 0, 0, 1}, 2*n) }},
	} {
		p, err := tensor.NewParam(b, name, backend.F64, c.shape...)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Free()
		y := make([]float64, 2*n)
		for i := range y {
			y[i] = 2 * r.NormFloat64()
		}
		value := func() (float64, []float64) {
			t.Helper()
			if err := p.SetFloats(y); err != nil {
				t.Fatal(err)
			}
			if err := p.ZeroGrad(); err != nil {
				t.Fatal(err)
			}
			s := tensor.NewScope(b, tensor.Options{Grad: true})
			defer s.Close()
			loss := c.loss(p.In(s))
			if err := s.Backward(loss); err != nil {
				t.Fatal(err)
			}
			v, err := loss.Item()
			if err != nil {
				t.Fatal(err)
			}
			g, err := p.Grad()
			if err != nil {
				t.Fatal(err)
			}
			grad, err := backend.Values(b, g)
			if err != nil {
				t.Fatal(err)
			}
			return v, grad
		}
		_, grad := value()
		for i := range y {
			was := y[i]
			y[i] = was + h
			up, _ := value()
			y[i] = was - h
			down, _ := value()
			y[i] = was
			near(t, fmt.Sprintf("%s: gradient %d", name, i), grad[i], (up-down)/(2*h), 1e-9)
		}
	}
}

// randomSolutions returns solutions with a label at each token 15 and at the last token.
func randomSolutions(seed uint64, n int) (all []Solution) {
	for _, p := range randomPairs(seed, n) {
		x := Solution{Prompt: p.Prompt, Completion: p.Chosen}
		for _, end := range StepsEndAt(15)(x.Completion) {
			x.Steps = append(x.Steps, StepLabel{end, x.Completion[end]%2 == 0})
		}
		all = append(all, x)
	}
	return all
}

// trainings sets up a run in dir that trains a new reward model, for both kinds.
var trainings = map[string]func(t *testing.T, dir string, steps int) (tr *train.Trainer, run func() error){
	"outcome": func(t *testing.T, dir string, steps int) (*train.Trainer, func() error) {
		o, err := NewOutcomeModel(newTiny(t, model.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		x := &OutcomeTraining{Trainer: teacher(t, o.Model, 20), Model: o, Pairs: randomPairs(1, 13), Batch: 4, Steps: steps}
		x.Trainer.Dir = dir
		return x.Trainer, func() error { return x.Run(t.Context()) }
	},
	"process": func(t *testing.T, dir string, steps int) (*train.Trainer, func() error) {
		p, err := NewProcessModel(newTiny(t, model.Options{}), StepsEndAt(15))
		if err != nil {
			t.Fatal(err)
		}
		x := &ProcessTraining{
			Trainer: teacher(t, p.Model, 20), Model: p, Solutions: randomSolutions(1, 13), Batch: 4, Steps: steps,
		}
		x.Trainer.Dir = dir
		return x.Trainer, func() error { return x.Run(t.Context()) }
	},
}

// A resumed run gives the same weights as an uninterrupted one, bit for bit.
func TestTrainingsOfRewardModelsResume(t *testing.T) {
	for name, build := range trainings {
		var sums []string
		dir := t.TempDir()
		for _, leg := range []struct {
			dir   string
			steps int
		}{{"", 6}, {dir, 3}, {dir, 6}} {
			tr, run := build(t, leg.dir, leg.steps)
			if err := run(); err != nil {
				t.Fatal(name, err)
			}
			sum, err := train.WeightsSHA256(tr.Model.Params.All())
			if err != nil {
				t.Fatal(err)
			}
			sums = append(sums, sum)
			tr.Close()
		}
		if sums[0] != sums[2] || sums[0] == sums[1] {
			t.Errorf("%s: weights %s at once, %s after 3 steps, %s resumed", name, sums[0], sums[1], sums[2])
		}
		tr, run := build(t, dir, 2)
		if err := run(); err == nil || !strings.Contains(err.Error(), "Steps is 2, but 6 steps have been made") {
			t.Errorf("%s: fewer steps than made: %v", name, err)
		}
		tr.Close()
		tr, run = build(t, dir, 8)
		tr.MaxRows = 0
		tr.Seed = 6
		if err := run(); err == nil || !strings.Contains(err.Error(), "another run") {
			t.Errorf("%s: another seed: %v", name, err)
		}
		tr.Close()
	}
}

// Checkpoints of a Trainer and folders of Save include the head: after loading, a model gives
// the same scores bit for bit. config.json has the keys of transformers.
func TestRewardModelsAreSavedAndLoaded(t *testing.T) {
	all := ofPairs(randomPairs(4, 5))
	compare := func(name string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	o := loadOutcome(t, "testdata/outcome_model", backend.F32)
	want, err := o.Score(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "saved")
	if err := o.Save(saved, model.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := loadOutcome(t, saved, backend.F32).Score(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	compare("outcome model", got, want)
	text, err := os.ReadFile(filepath.Join(saved, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		Labels map[string]string `json:"id2label"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	compare("id2label", keys.Labels, map[string]string{"0": "LABEL_0"})

	p := loadProcess(t, "testdata/process_model", backend.F32)
	tr := &ProcessTraining{Trainer: teacher(t, p.Model, 0), Model: p, Solutions: randomSolutions(2, 8), Steps: 2}
	tr.Trainer.Dir = t.TempDir()
	if err := tr.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps, err := p.Score(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob(filepath.Join(tr.Trainer.Dir, "*", "config.json"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("checkpoints %q, error %v", folders, err)
	}
	again, err := loadProcess(t, filepath.Dir(folders[0]), backend.F32).Score(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	compare("process model", again, steps)

	if _, _, err := LoadProcessModel(openCPU(t), saved, StepsEndAt(15), model.LoadOptions{}); err == nil ||
		!strings.Contains(err.Error(), "score.") {
		t.Errorf("an outcome model loaded as a process model: %v", err)
	}
	tied := newTiny(t, model.Options{})
	plain := filepath.Join(t.TempDir(), "plain")
	if err := model.Save(plain, tied, model.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadOutcomeModel(openCPU(t), plain, model.LoadOptions{}); err == nil ||
		!strings.Contains(err.Error(), "score.weight") {
		t.Errorf("a model without a head loaded as an outcome model: %v", err)
	}
}

// GRPO uses the scores as rewards, computed in one call for all samples, and the scores of
// steps as process rewards. A sample that the model cannot read gets an Error; the others are
// scored.
func TestRewardModelsRewardRollouts(t *testing.T) {
	o := loadOutcome(t, "testdata/outcome_model", backend.F32)
	p := loadProcess(t, "testdata/process_model", backend.F32)
	g := newRun(t, openCPU(t), model.Options{})
	calls := 0
	orm := o.Func("orm")
	scoreAll := orm.ScoreAll
	orm.ScoreAll = func(ctx context.Context, s []reward.Sample) []reward.Verdict { calls++; return scoreAll(ctx, s) }
	g.Reward = &reward.Suite{Funcs: []reward.Func{
		orm, p.Func("min", OutcomeMin), p.Func("product", OutcomeProduct), p.Func("last", OutcomeLast),
	}}
	g.Process = p.Process
	var r *Rollout
	g.OnRollout = func(x *Rollout) { r = x }
	mustStep(t, g)
	if calls != 1 {
		t.Errorf("%d calls for a rollout", calls)
	}
	all := solutions(r.Prompts, r.Samples)
	scores, err := o.Score(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := p.Score(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range steps {
		least, product := s[0].Value, 1.0
		for _, x := range s {
			least, product = min(least, x.Value), product*x.Value
		}
		for f, want := range []float64{scores[i], least, product, s[len(s)-1].Value} {
			if got := r.Scores.Verdicts[f][i].Value; got != want {
				t.Errorf("%s, sample %d: %g, want %g", r.Scores.Functions[f], i, got, want)
			}
		}
		if !slices.Equal(r.Steps[i], s) {
			t.Errorf("sample %d: steps %v, want %v", i, r.Steps[i], s)
		}
	}
	long := make([]int32, 40)
	v := o.Func("orm").ScoreAll(t.Context(), []reward.Sample{
		{PromptIDs: []int32{2}, IDs: []int32{3}}, {PromptIDs: []int32{2}, IDs: long},
		{PromptIDs: []int32{2}, IDs: []int32{99}},
		{PromptIDs: []int32{2}},
	})
	for i, want := range []string{"", "has 41 tokens", "token 0 is 99", "Completion is empty"} {
		failed := v[i].Status == reward.Error
		if failed != (want != "") || failed && !strings.Contains(v[i].Err.Error(), want) {
			t.Errorf("sample %d: %+v, want error %q", i, v[i], want)
		}
	}
}

// Invalid fields give an error that names them, before anything changes.
func TestTrainingsOfRewardModelsRefuse(t *testing.T) {
	o := loadOutcome(t, "testdata/outcome_model", backend.F32)
	p := loadProcess(t, "testdata/process_model", backend.F32)
	other := newTiny(t, model.Options{})
	drafting := tiny()
	drafting.NumNextNPredictLayers = 1
	m, err := model.New(openCPU(t), drafting, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	d, err := mtp.New(m)
	if err != nil {
		t.Fatal(err)
	}
	for want, set := range map[string]func(*OutcomeTraining){
		"OutcomeTraining.Trainer or Model is nil": func(x *OutcomeTraining) {
			x.Model = nil
		},
		"OutcomeTraining.Pairs is empty": func(x *OutcomeTraining) {
			x.Pairs = nil
		},
		"OutcomeTraining.Trainer.Model is not Model.Model": func(x *OutcomeTraining) {
			x.Trainer.Model = other
		},
		"OutcomeTraining.Trainer.Drafter is set": func(x *OutcomeTraining) {
			x.Trainer.Drafter = d
		},
		"OutcomeTraining.Batch is -1": func(x *OutcomeTraining) {
			x.Batch = -1
		},
		"OutcomeTraining.CenterRewards is NaN": func(x *OutcomeTraining) {
			x.CenterRewards = math.NaN()
		},
		"OutcomeTraining.Pairs[2].Margin is +Inf": func(x *OutcomeTraining) {
			x.Pairs[2].Margin = math.Inf(1)
		},
		"OutcomeTraining.Held[0].Chosen: token 0 is 16, vocab_size": func(x *OutcomeTraining) {
			x.Held[0].Chosen[0] = 16
		},
		"OutcomeTraining.Pairs[1].Rejected has 39 rows": func(x *OutcomeTraining) {
			x.Pairs[1].Prompt, x.Pairs[1].Rejected = []int32{1}, make([]int32, 39)
		},
		"OutcomeTraining.Model.Head is nil": func(x *OutcomeTraining) {
			x.Model = &OutcomeModel{Model: o.Model}
		},
		"OutcomeTraining.Model.Head, score.weight, is [2 16], want [1": func(x *OutcomeTraining) {
			x.Model = &OutcomeModel{Model: p.Model, Head: p.Head}
		},
	} {
		x := &OutcomeTraining{
			Trainer: teacher(t, o.Model, 0), Model: o, Pairs: randomPairs(1, 5), Held: randomPairs(2, 2), Steps: 1,
		}
		set(x)
		if err := x.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for want, set := range map[string]func(*ProcessTraining){
		"ProcessTraining.Solutions is empty": func(x *ProcessTraining) {
			x.Solutions = nil
		},
		"ProcessTraining.Solutions[1]: Steps is empty": func(x *ProcessTraining) {
			x.Solutions[1].Steps = nil
		},
		"ProcessTraining.Held[0]: Steps[0].Token is 99": func(x *ProcessTraining) {
			x.Held[0].Steps[0].Token = 99
		},
		"ProcessTraining.Solutions[0]: Prompt is empty": func(x *ProcessTraining) {
			x.Solutions[0].Prompt = nil
		},
		"ProcessTraining.Model.Bias is nil": func(x *ProcessTraining) {
			x.Model = &ProcessModel{Model: p.Model, Head: p.Head}
		},
		"ProcessTraining.Steps is -1": func(x *ProcessTraining) {
			x.Steps = -1
		},
		"ProcessTraining.Solutions[2]: Steps[1].Token is 0: w": func(x *ProcessTraining) {
			x.Solutions[2].Steps = []StepLabel{{0, true}, {0, true}}
		},
	} {
		x := &ProcessTraining{
			Trainer: teacher(t, p.Model, 0), Model: p, Solutions: randomSolutions(1, 5), Held: randomSolutions(2, 2), Steps: 1,
		}
		set(x)
		if err := x.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	x := &OutcomeTraining{Trainer: teacher(t, o.Model, 0), Model: o, Pairs: randomPairs(1, 5)}
	if _, err := x.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.CenterRewards = 1
	if _, err := x.Step(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "OutcomeTraining.CenterRewards is 1, it was 0") {
		t.Errorf("a field changed after the first step: %v", err)
	}
	dpo := newPreferences(t, newTiny(t, model.Options{}))
	dpo.Pairs[3].Margin = 1
	if _, err := dpo.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "DPO.Pairs[3].Margin is 1") {
		t.Errorf("DPO with a margin: %v", err)
	}
	p.Ends = func([]int32) []int { return []int{0, 0} }
	_, err = p.Score(t.Context(), []Solution{{Prompt: []int32{2}, Completion: []int32{3}}})
	if err == nil || !strings.Contains(err.Error(), "Ends returned token 0 as the end of step 1") {
		t.Errorf("steps out of order: %v", err)
	}
	f := p.Func("prm", "mean")
	v := f.ScoreAll(t.Context(), make([]reward.Sample, 1))
	if v[0].Err == nil || !strings.Contains(v[0].Err.Error(), "mean") {
		t.Errorf("an unknown outcome: %+v", v)
	}
}
