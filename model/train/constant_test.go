package train

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/moe"
	"github.com/aha-go/aha/mtp"
)

// free lists the fields that a run may change, and why.
var free = map[string]string{
	"Steps":     "where Run ends",
	"SaveEvery": "when checkpoints are written", "KeepLast": "how many are kept",
	"Eval": "measures only", "EvalEvery": "when it does", "KeepBest": "a copy",
	"OnStep": "told, not asked", "Log": "told, not asked",
	"AllowDifferentPath": "asked by Resume only",
}

// says reports whether the message of err contains text.
func says(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// A change of any other field between steps is an error that names the field. After the
// value is restored, the run continues as before.
func TestFieldsThatChangeMidRunAreNamed(t *testing.T) {
	seen := maps.Clone(free)
	for name, c := range map[string]struct {
		change func(*Trainer)
		want   string
	}{
		"Model":   {func(t *Trainer) { t.Model = &model.Model{} }, "Model was replaced"},
		"Drafter": {func(t *Trainer) { t.Drafter = nil }, "Drafter was set to nil"},
		"Optimizer": {func(t *Trainer) { t.Optimizer = AdamW{LR: 2e-3} },
			`Optimizer changed from train.AdamW{"LR":0.001`},
		"no Optimizer":  {func(t *Trainer) { t.Optimizer = nil }, "Optimizer was set to nil"},
		"Schedule":      {func(t *Trainer) { t.Schedule = Constant(1) }, "Schedule was replaced"},
		"Loss":          {func(t *Trainer) { t.Loss = t.DefaultLoss }, "Loss was set since"},
		"MaxRows":       {func(t *Trainer) { t.MaxRows = 21 }, "MaxRows changed from 20 to 21"},
		"ClipNorm":      {func(t *Trainer) { t.ClipNorm = 2 }, "ClipNorm changed from 0 to 2"},
		"SkipNonFinite": {func(t *Trainer) { t.SkipNonFinite = true }, "SkipNonFinite changed from false to true"},
		"BalanceAlpha":  {func(t *Trainer) { t.BalanceAlpha = 0 }, "BalanceAlpha changed from 0.0001 to 0"},
		"BiasRate":      {func(t *Trainer) { t.BiasRate = nil }, "BiasRate was set to nil"},
		"CenterBias":    {func(t *Trainer) { t.CenterBias = true }, "CenterBias changed from false to true"},
		"EMADecay":      {func(t *Trainer) { t.EMADecay = 0.5 }, "EMADecay changed from 0.9 to 0.5"},
		"Dir":           {func(t *Trainer) { t.Dir = "elsewhere" }, "Dir changed from "},
		"Seed":          {func(t *Trainer) { t.Seed = 1 }, "Seed changed from 18446744073709551615 to 1"},
		"Unclaimed": {func(t *Trainer) { t.Unclaimed = []checkpoint.Tensor{{Name: "x"}} },
			"Unclaimed changed from [] to [x]"},
		"Extra":    {func(t *Trainer) { t.Extra = []ExtraFile{{Name: "y"}} }, "Extra changed from [] to [y]"},
		"Settings": {func(t *Trainer) { t.Settings = 3 }, "Settings changed from null to 3"},
	} {
		tr := newRun(t, AdamW{LR: 1e-3}, t.TempDir(), 4)
		mustStep(t, tr, randomText(4))
		before, was := sum(t, tr), *tr
		c.change(tr)
		_, err := tr.Step(t.Context(), mustBatch(t, randomText(4), 1))
		if !says(err, "Trainer."+c.want) || !says(err, "since the run began") {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if err := tr.Save(); err == nil {
			t.Errorf("%s: the changed run was saved", name)
		}
		if sum(t, &was) != before || tr.StepCount() != 1 {
			t.Errorf("%s: the step changed something", name)
		}
		*tr = was
		mustStep(t, tr, randomText(4))
		seen[name] = "changed here"
	}
	for f := range reflect.TypeFor[Trainer]().Fields() {
		if f.IsExported() && seen[f.Name] == "" {
			t.Errorf("nothing says whether Trainer.%s may change", f.Name)
		}
	}
}

// A parameter or gate that is added to or removed from the model or the Drafter during a
// run would not be trained, or trained wrongly.
func TestWhatWouldNeverTrainIsNamed(t *testing.T) {
	const gain = "model.norm.weight"
	drafter := func(t *Trainer) *mtp.MTP { return t.Drafter.(*mtp.MTP) }
	for want, change := range map[string]func(*Trainer){
		"parameter late was added": func(t *Trainer) {
			t.Model.Params.Matrix("late",
				2, 2)
		},
		"Trainable of parameter " + gain + " changed from true to false": func(t *Trainer) { t.Model.Norm.Trainable = false },
		"Decay of parameter " + gain + " changed from false to true":     func(t *Trainer) { t.Model.Norm.Decay = true },
		"Format of parameter lm_head.weight": func(t *Trainer) {
			t.Model.Head.Format = backend.BFloat16
		},
		"Trainer.Model.Config changed": func(t *Trainer) { t.Model.Config.RMSNormEps *= 2 },
		"the gate of layer 1 was replaced": func(t *Trainer) {
			t.Model.Blocks[1].(*model.Layer).MoE.Gate = &moe.Gate{}
		},
		"the gate of layer 2 was removed":                                func(t *Trainer) { drafter(t).Modules = nil },
		`Drafter's settings changed from {"lambda":0.3} to {"lambda":0}`: func(t *Trainer) { drafter(t).Lambda = 0 },
	} {
		tr := newRun(t, AdamW{LR: 1e-3}, "", 4)
		mustStep(t, tr, randomText(4))
		before := sum(t, tr)
		change(tr)
		if _, err := tr.Step(t.Context(), mustBatch(t, randomText(4), 1)); !says(err, want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if sum(t, tr) != before {
			t.Errorf("%s: the step changed something", want)
		}
	}
}

func TestModulesMadeAfterTheFirstStepAreRefused(t *testing.T) {
	m := newModel(t, backend.F32)
	tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}}
	defer tr.Close()
	mustStep(t, tr, randomText(2))
	newMTP(t, m)
	_, err := tr.Step(t.Context(), mustBatch(t, randomText(2), 1))
	if !says(err, "parameter model.layers.2.enorm.weight was added") {
		t.Errorf("got %v", err)
	}
}

func TestADrafterOfAnotherModelIsRefused(t *testing.T) {
	m := newModel(t, backend.F32)
	newMTP(t, m) // the names exist, but the parameters are different
	for _, m := range []*model.Model{m, newModel(t, backend.F32)} {
		tr := &Trainer{Model: m, Drafter: newMTP(t, newModel(t, backend.F32)), Optimizer: AdamW{LR: 1e-3}}
		_, err := tr.Step(t.Context(), mustBatch(t, randomText(2), 0))
		if !says(err, "Trainer.Drafter is not of Trainer.Model: its parameter model.layers.2.enorm.weight") {
			t.Errorf("got %v", err)
		}
	}
}

// An adapter whose matrices are not among the model's parameters would get gradients but
// never be updated, whenever it is attached.
func TestAnAdapterThatWouldNeverTrainIsNamed(t *testing.T) {
	for _, steps := range []int{0, 1} {
		m := newModel(t, backend.F32)
		d := newMTP(t, m)
		tr := &Trainer{Model: m, Drafter: d, Optimizer: AdamW{LR: 1e-3}}
		defer tr.Close()
		for range steps {
			mustStep(t, tr, randomText(2))
		}
		alone := func(name string, shape ...int) *tensor.Param {
			p, err := tensor.NewParam(m.Backend(), name, backend.F32, shape...)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		d.Modules[0].EHProj.Adapter = &tensor.LowRank{A: alone("lora_A", 2, 64), B: alone("lora_B", 32, 2), Scale: 1}
		before, _ := WeightsSHA256(m.Params.All())
		_, err := tr.Step(t.Context(), mustBatch(t, randomText(2), 0))
		if !says(err, "parameter lora_B has a gradient and would never be updated") {
			t.Errorf("after %d steps: got %v", steps, err)
		}
		if after, _ := WeightsSHA256(m.Params.All()); after != before {
			t.Errorf("after %d steps: the step changed something", steps)
		}
	}
}

// If Loss leaves the Drafter out, the Trainer warns once.
func TestADrafterThatTheLossLeavesOutIsSaid(t *testing.T) {
	m := newModel(t, backend.F32)
	tr := &Trainer{Model: m, Drafter: newMTP(t, m), Optimizer: AdamW{LR: 1e-3}}
	defer tr.Close()
	tr.Loss = func(s *tensor.Scope, b model.Batch) tensor.Tensor {
		return tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, m.Forward(s, b).LogProbs(b.Targets))))
	}
	for step, want := range []string{"the loss does not reach Trainer.Drafter", ""} {
		got := stderr(t, func() { mustStep(t, tr, randomText(2)) })
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("step %d said %q, want %q", step+1, got, want)
		}
	}
}

// forgetful is a Drafter that does not list its gates.
type forgetful struct{ *mtp.MTP }

func (forgetful) Gates() ([]*moe.Gate, []int) { return nil, nil }

func TestAGateThatNobodyLooksAfterIsAnError(t *testing.T) {
	m := newModel(t, backend.F32)
	tr := &Trainer{Model: m, Drafter: forgetful{newMTP(t, m)}, Optimizer: AdamW{LR: 1e-3}}
	defer tr.Close()
	_, err := tr.Step(t.Context(), mustBatch(t, randomText(2), 0))
	if !says(err, "Trainer.Drafter's Gates does not list gate 0 of those") {
		t.Errorf("got %v", err)
	}
}

// Fields that only checkpoints record may have new values after Resume: rl.GRPO sets them
// for its own work and restores them.
func TestResumeTakesSettingsAnew(t *testing.T) {
	tr := newRun(t, AdamW{LR: 1e-3}, "", 4)
	mustStep(t, tr, randomText(4))
	tr.Settings, tr.Extra = "of the second phase", []ExtraFile{{Name: "x"}}
	if _, err := tr.Resume(); err != nil {
		t.Fatal(err)
	}
	mustStep(t, tr, randomText(4))
	tr.ClipNorm = 3
	if _, err := tr.Resume(); !says(err, "Trainer.ClipNorm") {
		t.Errorf("got %v", err)
	}
}

// The balance loss of DefaultLoss covers all gates, including the Drafter's: it exists even
// if only the Drafter has gates.
func TestBalanceLossReachesTheDraftersGates(t *testing.T) {
	run := func(alpha, lambda float64) (Metrics, []float64) {
		m := newModel(t, backend.F64)
		d := newMTP(t, m)
		d.Lambda = lambda
		tr := &Trainer{Model: m, Drafter: d, Optimizer: AdamW{LR: 1e-3}, BalanceAlpha: alpha}
		defer tr.Close()
		x := mustStep(t, tr, randomText(4))
		return x, gradient(t, m.Params.Get("model.layers.2.mlp.gate.weight"))
	}
	_, without := run(0, 0.3)
	one, with := run(1, 0.3)
	if maxDiff(with, without) < 1e-9 {
		t.Error("the gradient of the Drafter's gate does not depend on BalanceAlpha")
	}
	off, none := run(1, 0)
	if maxDiff(none, make([]float64, len(none))) != 0 {
		t.Error("a Drafter of weight 0 trains its gate")
	}
	if one.Values["aux_loss"] <= off.Values["aux_loss"] {
		t.Errorf("aux_loss %g with the Drafter's gate, %g without", one.Values["aux_loss"], off.Values["aux_loss"])
	}
}

func gradient(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	g, err := p.Grad()
	if err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(p.Backend(), tensor.Options{})
	defer s.Close()
	x, err := s.Constant(g).Values()
	if err != nil {
		t.Fatal(err)
	}
	return x
}
