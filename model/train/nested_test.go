package train

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// pair returns a run, a second Trainer nested in its checkpoints, and a function that makes
// a step of both.
func pair(t testing.TB, dir string) (outer, inner *Trainer, step func()) {
	t.Helper()
	outer = newRun(t, AdamW{LR: 1e-2}, dir, 8)
	inner = newRun(t, Muon{LR: 1e-2}, "", 8)
	inner.Extra = []ExtraFile{{
		Name:  "own.txt",
		Write: func(w io.Writer) error { _, err := io.WriteString(w, "own"); return err },
		Read: func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil && string(b) != "own" {
				t.Errorf("the file of the nested Trainer has %q", b)
			}
			return err
		},
	}}
	files, err := inner.Nested("second-")
	if err != nil {
		t.Fatal(err)
	}
	outer.Extra = files
	return outer, inner, func() {
		mustStep(t, outer, randomText(4))
		mustStep(t, inner, randomText(5))
		mustStep(t, inner, randomText(5))
	}
}

// A nested Trainer resumes from the other's checkpoints bit for bit, including weights,
// moments, moving average, schedule and extra files.
func TestANestedTrainerResumes(t *testing.T) {
	whole, second, step := pair(t, "")
	for range 4 {
		step()
	}
	want := []string{sum(t, whole), sum(t, second)}

	dir := t.TempDir()
	outer, _, step := pair(t, dir)
	step()
	step()
	if err := outer.Save(); err != nil {
		t.Fatal(err)
	}
	step() // this step is lost when the run resumes
	outer.Close()
	outer, inner, step := pair(t, dir)
	if ok, err := outer.Resume(); !ok || err != nil {
		t.Fatalf("resumed %t, error %v", ok, err)
	}
	if outer.StepCount() != 2 || inner.StepCount() != 4 {
		t.Errorf("steps %d and %d", outer.StepCount(), inner.StepCount())
	}
	step()
	step()
	if got := []string{sum(t, outer), sum(t, inner)}; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("sums %v, want %v", got, want)
	}
	for _, file := range []string{
		"second-train.json", "second-model.safetensors", "second-optimizer.safetensors", "second-ema.safetensors",
		"second-own.txt",
	} {
		if _, err := os.Stat(filepath.Join(dir, "step-000002", file)); err != nil {
			t.Error(err)
		}
	}
}

func TestANestedTrainerOfAnotherRunIsRefused(t *testing.T) {
	dir := t.TempDir()
	outer, _, step := pair(t, dir)
	step()
	if err := outer.Save(); err != nil {
		t.Fatal(err)
	}
	outer.Close()
	outer, inner, _ := pair(t, dir)
	inner.Settings = "other"
	if err := inner.AcceptSettings(); err != nil {
		t.Fatal(err)
	}
	before := []string{weights(t, outer), weights(t, inner)}
	_, err := outer.Resume()
	if err == nil || !strings.Contains(err.Error(), "second-train.json") || !strings.Contains(err.Error(), "settings") {
		t.Errorf("error is %v", err)
	}
	if weights(t, outer) != before[0] || weights(t, inner) != before[1] {
		t.Error("weights were changed")
	}
	if _, err := newRun(t, AdamW{LR: 1}, t.TempDir(), 1).Nested("x-"); err == nil ||
		!strings.Contains(err.Error(), "Trainer.Dir") {
		t.Errorf("with a folder: %v", err)
	}
	bare := &Trainer{Model: newModel(t, backend.F32)}
	if _, err := bare.Nested("x-"); err == nil || !strings.Contains(err.Error(), "Trainer.Optimizer is nil") {
		t.Errorf("without an optimizer: %v", err)
	}
}
