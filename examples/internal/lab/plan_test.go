package lab

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

func TestPlanByHand(t *testing.T) {
	// 100 base steps of 1,000 tokens at 1 ms a token; 10 GRPO steps of 2 × 5 completions of 20 tokens at
	// 1 + 2 ms; two evaluations of 10 × 3 completions.
	sc := Scale{BaseSteps: 100, BaseTokens: 1000, RLSteps: 10, Prompts: 2, Group: 5, Problems: 10, Samples: 3, Length: 20}
	s := Speed{Learn: 1e-3, Write: 2e-3}
	for _, c := range []struct {
		done Done
		want Plan
		text string
	}{
		{Done{}, Plan{100 * time.Second, 6 * time.Second, 2400 * time.Millisecond},
			"about 108 seconds on this machine: base model 100, GRPO 6, evaluations 2"},
		{Done{Base: 100, RL: 9, Evaluated: true}, Plan{0, 600 * time.Millisecond, 1200 * time.Millisecond},
			"about 2 seconds on this machine: GRPO 1, evaluations 1"},
	} {
		p := s.Plan(sc, c.done)
		near := func(a, b time.Duration) bool { return (a - b).Abs() < time.Microsecond }
		if !near(p.Base, c.want.Base) || !near(p.GRPO, c.want.GRPO) || !near(p.Evaluations, c.want.Evaluations) ||
			p.String() != c.text {
			t.Errorf("%+v: %+v, %q", c.done, p, p)
		}
	}
	long := Plan{Base: 8 * time.Minute, GRPO: 5*time.Minute + 29*time.Second, Evaluations: 20 * time.Second}
	if want := "about 14 minutes on this machine: base model 8, GRPO 5, evaluations less than 1"; long.String() != want {
		t.Errorf("%q, want %q", long, want)
	}
}

func TestDoneIsReadFromTheFolder(t *testing.T) {
	out := t.TempDir()
	for _, c := range []struct {
		make func()
		want Done
	}{
		{func() {}, Done{}},
		{func() { save(t, filepath.Join(out, "base"), 7) }, Done{Base: 7}},
		{func() { write(t, filepath.Join(out, "base", evaluationFile), "{}") }, Done{Base: 7, Evaluated: true}},
		{func() { save(t, filepath.Join(out, "grpo"), 5*miniBatches) }, Done{Base: 7, RL: 5, Evaluated: true}},
	} {
		c.make()
		if d, err := ReadDone(out); err != nil || d != c.want {
			t.Errorf("%+v, %v; want %+v", d, err, c.want)
		}
	}
}

// save writes a checkpoint without files.
func save(t *testing.T, dir string, step int) {
	t.Helper()
	if err := (checkpoint.Store{Dir: dir}).Save(step, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestMeasuringLeavesNothingBehind(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	total, before := b.MemInfo()
	sc := Scale{BaseSteps: 100, BaseTokens: 256, MaxTokens: 12, Slots: 4, Length: 8}
	base := Base{Dir: t.TempDir(), Seed: 1, Scale: sc}
	s, err := base.Measure(t.Context(), b, Teacher(), model.Options{}, 0)
	if err != nil || s.Learn <= 0 || s.Write <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, free := b.MemInfo(); total-free > total-before {
		t.Errorf("%d bytes are still in use", before-free)
	}
	if d, err := ReadDone(filepath.Dir(base.Dir)); err != nil || d != (Done{}) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestContrastIsTheFirstProblemThatBecameRight(t *testing.T) {
	list := func(right ...bool) (all []Completion) {
		for _, r := range right {
			all = append(all, Completion{Correct: r})
		}
		return all
	}
	if i, ok := Contrast(list(true, false, false, false), list(true, false, true, true)); i != 2 || !ok {
		t.Errorf("problem %d, %t; want 2, true", i, ok)
	}
	if i, ok := Contrast(list(true, false), list(false, false)); i != 0 || ok {
		t.Errorf("problem %d, %t; want 0, false", i, ok)
	}
}
