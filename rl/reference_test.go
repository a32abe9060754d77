package rl

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/lora"
	"github.com/aha-go/aha/model/train"
)

// newAdapted is newRun with adapters on the model's attention.
func newAdapted(t testing.TB, o model.Options) *GRPO {
	t.Helper()
	m, err := model.NewWith(openCPU(t), tiny(), 3, o)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, m)
	return newRunOf(t, m)
}

func attach(t testing.TB, m *model.Model) {
	t.Helper()
	c := lora.Config{Rank: 4, Alpha: 8, Seed: 1, Targets: []string{"o_proj", "q_a_proj", "shared_experts.down_proj"}}
	if _, err := lora.Attach(m, c); err != nil {
		t.Fatal(err)
	}
}

// adapters returns the checksum of the trainable parameters.
func adapters(t testing.TB, m *model.Model) string {
	t.Helper()
	all := slices.DeleteFunc(slices.Clone(m.Params.All()), func(p *tensor.Param) bool { return !isAdapter(p) })
	sum, err := train.WeightsSHA256(all)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// If only adapters are trained, the reference model is exactly the base model, without a
// copy.
func TestReferenceOfAdaptersIsTheBaseModel(t *testing.T) {
	for _, o := range []model.Options{
		{}, {Absorbed: true}, {Precision: backend.BF16}, {DType: backend.F64}, {Format: backend.BFloat16, Packed: true},
	} {
		g := newAdapted(t, o)
		g.Objective.Beta = 0.01
		var r *Rollout
		g.OnRollout = func(now *Rollout) { r = now }
		for range 3 {
			mustStep(t, g)
		}
		if g.reference.copied != nil {
			t.Fatalf("%+v: the base model was copied", o)
		}
		base, err := model.NewWith(openCPU(t), tiny(), 3, o)
		if err != nil {
			t.Fatal(err)
		}
		defer base.Free()
		var xs []trainSample
		for i := range r.Samples {
			xs = append(xs, r.trainSample(i))
		}
		got, err := g.reference.logProbs(xs, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		want, err := logProbs(base, xs, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		now, err := logProbs(g.Trainer.Model, xs, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		moved := false
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("%+v: sample %d: log π_ref %g, the base model's are %g", o, i, got[i], want[i])
			}
			moved = moved || !slices.Equal(now[i], want[i])
		}
		if !moved {
			t.Errorf("%+v: the adapters have no effect: the test is not conclusive", o)
		}
	}
}

// If other parameters than adapters are trained, the reference model is a copy.
func TestReferenceIsACopyWhereMoreThanAdaptersTrains(t *testing.T) {
	g := newAdapted(t, model.Options{})
	g.Trainer.Model.Norm.Trainable = true
	g.Objective.Beta = 0.01
	mustStep(t, g)
	if g.reference.copied == nil {
		t.Error("a norm of the base model is trained, but the reference model is not a copy")
	}
}

// A reference model without a copy needs no memory for weights.
func TestReferenceOfAdaptersTakesNoMemory(t *testing.T) {
	weights := func(adapted bool, beta float64) int {
		b := openCPU(t)
		m, err := Memory(b, func(b backend.Backend) (*GRPO, error) {
			m, err := model.NewWith(b, tiny(), 3, model.Options{})
			if err != nil {
				return nil, err
			}
			if adapted {
				attach(t, m)
			}
			gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 6, MaxLen: 16})
			if err != nil {
				return nil, err
			}
			g := task(m, gen)
			g.Objective.Beta = beta
			return g, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return m.By[backend.Parameters]
	}
	if more := weights(true, 0.05) - weights(true, 0); more != 0 {
		t.Errorf("with adapters, a reference model takes %d bytes of weights", more)
	}
	if more := weights(false, 0.05) - weights(false, 0); more == 0 {
		t.Error("a copy takes no memory: the test is not conclusive")
	}
}

// A run that trains adapters resumes from a checkpoint in which an older version saved a copy
// of the base model, and gives the same bits as an uninterrupted run.
func TestOldCheckpointOfAdaptersGoesOn(t *testing.T) {
	begin := func(dir string, steps int) *GRPO {
		g := newAdapted(t, model.Options{})
		g.Objective.Beta, g.Steps, g.Trainer.Dir = 0.05, steps, dir
		return g
	}
	whole := begin("", 4)
	mustRun(t, whole)
	dir := t.TempDir()
	first := begin(dir, 2)
	first.Trainer.Extra = []train.ExtraFile{{Name: referenceFile, Write: func(w io.Writer) error {
		return checkpoint.Write(w, checkpoint.Tensors(first.Trainer.Model.Params.All()), nil)
	}}}
	mustRun(t, first)
	if found, err := filepath.Glob(filepath.Join(dir, "*", referenceFile)); err != nil || len(found) == 0 {
		t.Fatalf("the checkpoint has no %s (%v): the test is not conclusive", referenceFile, err)
	}
	second := begin(dir, 4)
	if n := len(mustRun(t, second)); n != 2 {
		t.Errorf("%d steps after resuming", n)
	}
	if adapters(t, second.Trainer.Model) != adapters(t, whole.Trainer.Model) {
		t.Error("adapters differ")
	}
}

// With RefMix, an updated reference model is TRL's mixture of the old one and the policy. The
// run resumes bit for bit.
func TestReferenceIsMixed(t *testing.T) {
	text, err := os.ReadFile("testdata/trl_dpo.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Sync struct {
			Alpha              float64
			Old, Policy, Mixed []float64
		}
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	m, err := model.NewWith(openCPU(t), tiny(), 3, model.Options{DType: backend.F64})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	r, err := newReference(&train.Trainer{Model: m})
	if err != nil {
		t.Fatal(err)
	}
	defer r.free()
	for _, set := range []struct {
		m *model.Model
		v []float64
	}{{r.copied, f.Sync.Old}, {m, f.Sync.Policy}} {
		if err := set.m.Norm.SetFloats(set.v); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.sync(f.Sync.Alpha); err != nil {
		t.Fatal(err)
	}
	got, err := r.copied.Norm.Floats()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range f.Sync.Mixed {
		near(t, fmt.Sprintf("weight %d", i), got[i], want, 1e-15)
	}

	mixed := func(dir string, steps int) *GRPO {
		g := everything(t, dir, steps)
		g.RefSync, g.RefMix = 2, 0.6
		return g
	}
	whole := mixed("", 5)
	mustRun(t, whole)
	dir := t.TempDir()
	mustRun(t, mixed(dir, 3))
	second := mixed(dir, 5)
	mustRun(t, second)
	if weights(t, second) != weights(t, whole) {
		t.Error("weights differ after resuming")
	}
	plain := everything(t, "", 5)
	plain.RefSync = 2
	mustRun(t, plain)
	if weights(t, plain) == weights(t, whole) {
		t.Error("RefMix has no effect")
	}
	g := everything(t, "", 1)
	g.RefSync, g.RefMix = 0, 0.6
	wantError(t, g.Run(t.Context()), "GRPO.RefMix is set without GRPO.RefSync")
}
