package rl

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
)

// A run with other settings or other pairs cannot resume from the checkpoint.
func TestPreferencesOfAnotherRunAreRefused(t *testing.T) {
	dir := t.TempDir()
	begin := func() *DPO {
		d := newPreferences(t, newTiny(t, model.Options{}))
		d.Steps, d.Trainer.Dir, d.Precompute = 2, dir, true
		return d
	}
	mustPrefer(t, begin())
	for want, set := range map[string]func(d *DPO){
		"beta":                     func(d *DPO) { d.Beta = 0.2 },
		"loss_type":                func(d *DPO) { d.Loss = PreferenceIPO },
		"label_smoothing":          func(d *DPO) { d.LabelSmoothing = 0.1 },
		"batch":                    func(d *DPO) { d.Batch = 5 },
		"pairs":                    func(d *DPO) { d.Pairs[2].Chosen[0]++ },
		"held":                     func(d *DPO) { d.Held = d.Held[1:] },
		"precompute_ref_log_probs": func(d *DPO) { d.Precompute = false },
		"DPO.Steps is 1":           func(d *DPO) { d.Steps = 1 },
	} {
		d := begin()
		d.Steps = 4
		set(d)
		wantError(t, d.Run(t.Context()), want)
		d.Trainer.Close()
	}
}

func TestFieldsOfDPOSetAnewAreNamed(t *testing.T) {
	m := newTiny(t, model.Options{})
	for want, set := range map[string]func(d *DPO){
		"DPO.Beta is 0.3, it was 0":                    func(d *DPO) { d.Beta = 0.3 },
		"DPO.Batch is 2, it was 4":                     func(d *DPO) { d.Batch = 2 },
		"DPO.Loss is ipo":                              func(d *DPO) { d.Loss = PreferenceIPO },
		"DPO.Pairs is not the one of the first step":   func(d *DPO) { d.Pairs = d.Pairs[1:] },
		"DPO.Held is not the one of the first step":    func(d *DPO) { d.Held = slices.Clone(d.Held) },
		"DPO.Trainer is not the one of the first step": func(d *DPO) { d.Trainer = &train.Trainer{Model: m} },
	} {
		d := newPreferences(t, m)
		if _, err := d.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Steps++ // may change
		if _, err := d.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		set(d)
		_, err := d.Step(t.Context())
		wantError(t, err, want)
	}
}

func TestWhatDPOCannotMeanIsRefusedByName(t *testing.T) {
	c := tiny()
	c.NumNextNPredictLayers = 1
	m, err := model.New(openCPU(t), c, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	drafter, err := mtp.New(m)
	if err != nil {
		t.Fatal(err)
	}
	adapted := newTiny(t, model.Options{})
	attach(t, adapted)
	dir := filepath.Join(t.TempDir(), "absent")
	for want, set := range map[string]func(d *DPO){
		"DPO.Trainer or its Model is nil":          func(d *DPO) { d.Trainer = &train.Trainer{} },
		"DPO.Trainer.Drafter is set":               func(d *DPO) { d.Trainer.Drafter = drafter },
		"DPO.Pairs is empty":                       func(d *DPO) { d.Pairs = nil },
		"DPO.Steps is 0":                           func(d *DPO) { d.Steps = 0 },
		"DPO.Steps is -1":                          func(d *DPO) { d.Steps = -1 },
		"DPO.Batch is -1":                          func(d *DPO) { d.Batch = -1 },
		"DPO.RefSync is -1":                        func(d *DPO) { d.RefSync = -1 },
		"DPO.RefMix is set without DPO.RefSync":    func(d *DPO) { d.RefMix = 0.5 },
		"DPO.RefMix is 1.5":                        func(d *DPO) { d.RefMix, d.RefSync = 1.5, 1 },
		"DPO.RefSync is set with DPO.Precompute":   func(d *DPO) { d.RefSync, d.Precompute = 1, true },
		"DPO.RefSync is set and the model has":     func(d *DPO) { d.Trainer.Model, d.RefSync = adapted, 1 },
		"DPO.Beta is NaN":                          func(d *DPO) { d.Beta = math.NaN() },
		"DPO.Beta is -1":                           func(d *DPO) { d.Beta = -1 },
		"DPO.Loss is \"hinge\"":                    func(d *DPO) { d.Loss = "hinge" },
		"DPO.LabelSmoothing is 0.5":                func(d *DPO) { d.LabelSmoothing = 0.5 },
		"DPO.LabelSmoothing is 0.1: DPO.Loss ipo":  func(d *DPO) { d.LabelSmoothing, d.Loss = 0.1, PreferenceIPO },
		"DPO.Pairs[2].Prompt is empty":             func(d *DPO) { d.Pairs[2].Prompt = nil },
		"DPO.Held[1].Chosen is empty":              func(d *DPO) { d.Held[1].Chosen = nil },
		"DPO.Pairs[0].Rejected: token 1 is 16":     func(d *DPO) { d.Pairs[0].Rejected = []int32{1, 16} },
		"DPO.Pairs[0].Chosen and Rejected are the": func(d *DPO) { d.Pairs[0].Chosen = d.Pairs[0].Rejected },
		"DPO.Pairs[0].Weight is +Inf":              func(d *DPO) { d.Pairs[0].Weight = math.Inf(1) },
		"DPO.Pairs[1].Chosen has 33 rows": func(d *DPO) {
			d.Pairs[1].Prompt, d.Pairs[1].Chosen = make([]int32, 4), make([]int32, 30)
		},
	} {
		d := newPreferences(t, m)
		d.Trainer.Dir = dir
		set(d)
		wantError(t, d.Run(t.Context()), want)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the folder was written", want)
		}
	}
	d := newPreferences(t, m)
	d.Held = nil
	_, err = d.Evaluate(t.Context())
	wantError(t, err, "DPO.Held is empty")
}
