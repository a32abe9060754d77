package train

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// newRun returns a trainer with every kind of state.
func newRun(t testing.TB, o Optimizer, dir string, steps int) *Trainer {
	m := newModel(t, backend.F32)
	tr := &Trainer{
		Model: m, Drafter: newMTP(t, m), Optimizer: o, Steps: steps, Schedule: WarmUp(3, Cosine(3, 8, 0.1)),
		MaxRows: 20, BalanceAlpha: 1e-4, BiasRate: Constant(0.01), EMADecay: 0.9, Dir: dir, Seed: 1<<64 - 1,
	}
	t.Cleanup(tr.Close)
	return tr
}

// mustRun runs tr and closes it, so that another Trainer can lock its folder.
func mustRun(t testing.TB, tr *Trainer) string {
	t.Helper()
	defer tr.Close()
	if err := tr.Run(t.Context(), randomText(4)); err != nil {
		t.Fatal(err)
	}
	return sum(t, tr)
}

func TestResumedRunEndsWhereAnUndisturbedOneDoes(t *testing.T) {
	for _, o := range []Optimizer{AdamW{LR: 1e-2, WeightDecay: 0.1, BF16Moments: true}, Muon{LR: 1e-2, WeightDecay: 0.1}} {
		whole := newRun(t, o, "", 8)
		var wantMetrics []Metrics
		whole.OnStep = func(m Metrics) { m.Time = 0; wantMetrics = append(wantMetrics, m) }
		want := mustRun(t, whole)

		dir := t.TempDir()
		mustRun(t, newRun(t, o, dir, 4))
		// Killed after step 6: the process loses its metrics and weights.
		lost := newRun(t, o, dir, 8)
		if _, err := lost.Resume(); err != nil {
			t.Fatal(err)
		}
		mustStep(t, lost, randomText(4))
		mustStep(t, lost, randomText(4))
		lost.Close()

		resumed := newRun(t, o, dir, 8)
		var metrics []Metrics
		resumed.OnStep = func(m Metrics) { m.Time = 0; metrics = append(metrics, m) }
		if got := mustRun(t, resumed); got != want {
			t.Errorf("%T: weights, moments or averages differ", o)
		}
		if diff := cmp.Diff(wantMetrics[4:], metrics); diff != "" {
			t.Errorf("%T: metrics differ: %s", o, diff)
		}
		if resumed.Tokens() != whole.Tokens() || resumed.StepCount() != 8 {
			t.Errorf("%T: %d steps, %d tokens; want %d tokens", o, resumed.StepCount(), resumed.Tokens(), whole.Tokens())
		}
		text, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
		if err != nil || bytes.Count(text, []byte("\n")) != 8 {
			t.Errorf("%T: %v, metrics:\n%s", o, err, text)
		}
		// Running a complete run again changes nothing.
		if got := mustRun(t, newRun(t, o, dir, 8)); got != want {
			t.Errorf("%T: running a complete run again changed it", o)
		}
	}
}

func TestCheckpointIsAModelThatOthersRead(t *testing.T) {
	dir := t.TempDir()
	tr := newRun(t, AdamW{LR: 1e-3}, dir, 2)
	mustRun(t, tr)
	at := filepath.Join(dir, "step-000002")
	config, err := model.ReadConfig(filepath.Join(at, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tr.Model.Config, config); diff != "" {
		t.Error(diff)
	}
	m := newModel(t, backend.F32)
	newMTP(t, m)
	unclaimed, err := checkpoint.Load(at, m.Params.All())
	if err != nil || len(unclaimed) > 0 {
		t.Fatal(unclaimed, err)
	}
	got, _ := WeightsSHA256(m.Params.All())
	want, _ := WeightsSHA256(tr.Model.Params.All())
	if got != want || got == "" {
		t.Error("loaded weights differ")
	}
	if _, err := checkpoint.Load(filepath.Join(at, "ema.safetensors"), m.Params.All()); err != nil {
		t.Error(err)
	}
}

func TestOtherSettingsAreRefusedByName(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, newRun(t, AdamW{LR: 1e-3}, dir, 2))
	for want, change := range map[string]func(*Trainer){
		"optimizer.LR: 0.001 there, 0.002 now":     func(t *Trainer) { t.Optimizer = AdamW{LR: 2e-3} },
		`optimizer_type: "train.AdamW" there`:      func(t *Trainer) { t.Optimizer = Muon{LR: 1e-3} },
		`seed: "18446744073709551615" there, "0"`:  func(t *Trainer) { t.Seed = 0 },
		"config.routed_scaling_factor":             func(t *Trainer) { t.Model.Config.RoutedScalingFactor = 3 },
		"max_rows: 20 there, 21 now":               func(t *Trainer) { t.MaxRows = 21 },
		`clip_norm: "1" there, "2" now`:            func(t *Trainer) { t.ClipNorm = 2 },
		"balance_alpha":                            func(t *Trainer) { t.BalanceAlpha = 0 },
		"ema_decay":                                func(t *Trainer) { t.EMADecay = 0.5 },
		"settings: null there":                     func(t *Trainer) { t.Settings = map[string]any{"beta": 0.1} },
		"Schedule after step 2: 1 there, 0.5 now":  func(t *Trainer) { t.Schedule = Constant(0.5) },
		"BiasRate after step 2: 0.01 there, 0 now": func(t *Trainer) { t.BiasRate = Constant(0) },
	} {
		tr := newRun(t, AdamW{LR: 1e-3}, dir, 4)
		change(tr)
		before, _ := WeightsSHA256(tr.Model.Params.All())
		ok, err := tr.Resume()
		if ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got %v", want, err)
		}
		if after, _ := WeightsSHA256(tr.Model.Params.All()); after != before {
			t.Errorf("%s: weights were overwritten", want)
		}
		tr.Close()
	}
}

// Seeds of 64 bits are compared exactly, even if they round to the same float64.
func TestOtherSettingsAreRefusedToTheLastBit(t *testing.T) {
	dir := t.TempDir()
	with := func(seed uint64) *Trainer {
		tr := newRun(t, AdamW{LR: 1e-3}, dir, 1)
		tr.Settings = struct{ Seed uint64 }{seed}
		return tr
	}
	mustRun(t, with(1<<60))
	tr := with(1<<60 + 1)
	defer tr.Close()
	const want = "settings.Seed: 1152921504606846976 there, 1152921504606846977 now"
	if ok, err := tr.Resume(); ok || !says(err, want) {
		t.Errorf("want %s, got %v", want, err)
	}
}

// otherPath is a backend that reports another kernel path.
type otherPath struct{ backend.Backend }

func (otherPath) Path() string { return "other" }

func TestAnotherKernelPathNeedsPermission(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, newRun(t, AdamW{LR: 1e-3}, dir, 2))
	elsewhere := func() *Trainer {
		tr := newRun(t, AdamW{LR: 1e-3}, dir, 4)
		m, err := model.New(otherPath{tr.Model.Backend()}, small(), 7)
		if err != nil {
			t.Fatal(err)
		}
		tr.Model, tr.Drafter = m, newMTP(t, m)
		return tr
	}
	tr := elsewhere()
	if _, err := tr.Resume(); err == nil || !strings.Contains(err.Error(), `platform.path: "`) ||
		!strings.Contains(err.Error(), `"other" now`) {
		t.Errorf("got %v", err)
	}
	tr.Close()
	tr = elsewhere()
	tr.AllowDifferentPath = true
	if ok, err := tr.Resume(); !ok || err != nil || tr.StepCount() != 2 {
		t.Errorf("step %d, %v", tr.StepCount(), err)
	}
}

func TestAFullDiskLeavesTheLastCheckpoint(t *testing.T) {
	dir := t.TempDir()
	o := AdamW{LR: 1e-3}
	tr := newRun(t, o, dir, 6)
	tr.SaveEvery = 2
	tr.store.Before = func(op, path string) error {
		if op == "write" && strings.Contains(path, "step-000004") && strings.HasSuffix(path, optimizerFile) {
			return syscall.ENOSPC
		}
		return nil
	}
	err := tr.Run(t.Context(), randomText(4))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "step-000004") {
		t.Fatalf("got %v", err)
	}
	tr.Close()
	again := newRun(t, o, dir, 6)
	if ok, err := again.Resume(); !ok || err != nil || again.StepCount() != 2 {
		t.Fatalf("resumed at step %d, %v", again.StepCount(), err)
	}
	if got, want := mustRun(t, again), mustRun(t, newRun(t, o, "", 6)); got != want {
		t.Error("the resumed run ends with different weights")
	}
}

func TestACancelledRunSavesItsSteps(t *testing.T) {
	dir := t.TempDir()
	o := AdamW{LR: 1e-3}
	ctx, cancel := context.WithCancelCause(t.Context())
	tr := newRun(t, o, dir, 6)
	why := errors.New("interrupted")
	tr.OnStep = func(m Metrics) {
		if m.Step == 3 {
			cancel(why)
		}
	}
	if err := tr.Run(ctx, randomText(4)); !errors.Is(err, why) ||
		err.Error() != "train: stopped after step 3, saved in "+dir+": interrupted" {
		t.Fatalf("got %v", err)
	}
	tr.Close()
	if got, want := mustRun(t, newRun(t, o, dir, 6)), mustRun(t, newRun(t, o, "", 6)); got != want {
		t.Error("the resumed run ends with different weights")
	}
}

// If a cancelled run cannot be saved, the error must not look like a cancellation from
// which the run can resume.
func TestACancelledRunThatCannotBeSavedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tr := newRun(t, AdamW{LR: 1e-3}, t.TempDir(), 6)
	tr.store.Before = func(op, _ string) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return nil
	}
	tr.OnStep = func(Metrics) { cancel() }
	err := tr.Run(ctx, randomText(4))
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(),
		"stopped after step 1 (context canceled), but not saved") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheNewestCheckpointsAreKept(t *testing.T) {
	dir := t.TempDir()
	tr := newRun(t, AdamW{LR: 1e-3}, dir, 5)
	tr.SaveEvery, tr.KeepLast = 1, 2
	mustRun(t, tr)
	found, err := filepath.Glob(filepath.Join(dir, "step-*"))
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	if err != nil || !slices.Equal(found, []string{"step-000004", "step-000005"}) {
		t.Errorf("%v, %v", found, err)
	}
}

func TestCallersFilesAndForeignTensorsTravelAlong(t *testing.T) {
	dir := t.TempDir()
	foreign := checkpoint.Tensor{Name: "model.layers.61.embed_tokens.weight", DType: checkpoint.U8, Shape: []int{3},
		Data: []byte{1, 2, 3}}
	cursor := "epoch 3"
	with := func(steps int) *Trainer {
		tr := newRun(t, AdamW{LR: 1e-3}, dir, steps)
		tr.Unclaimed = []checkpoint.Tensor{foreign}
		tr.Extra = []ExtraFile{{
			Name:  "cursor.txt",
			Write: func(w io.Writer) error { _, err := io.WriteString(w, cursor); return err },
			Read:  func(path string) error { b, err := os.ReadFile(path); cursor = string(b); return err },
		}}
		return tr
	}
	mustRun(t, with(1))
	cursor = "lost"
	mustRun(t, with(2))
	if cursor != "epoch 3" {
		t.Errorf("the caller's file says %q", cursor)
	}
	r, err := checkpoint.Open(filepath.Join(dir, "step-000002"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Read(foreign.Name); err != nil || string(b) != "\x01\x02\x03" {
		t.Errorf("%v, %v", b, err)
	}
	if _, err := newRun(t, AdamW{LR: 1e-3}, dir, 3).Resume(); err == nil || !strings.Contains(err.Error(), foreign.Name) {
		t.Errorf("a tensor would be lost silently: %v", err)
	}
}

func weights(t testing.TB, tr *Trainer) string {
	t.Helper()
	h, err := WeightsSHA256(tr.Model.Params.All())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// If Steps is less than the number of steps made, Run returns an error; if they are equal,
// the run is complete.
func TestFewerStepsThanTheCheckpointHasIsAnError(t *testing.T) {
	dir := t.TempDir()
	done := newRun(t, AdamW{LR: 1e-3}, dir, 3)
	mustRun(t, done)
	done.Close()
	fewer := newRun(t, AdamW{LR: 1e-3}, dir, 2)
	before := weights(t, fewer)
	err := fewer.Run(t.Context(), randomText(2))
	if err == nil || !strings.Contains(err.Error(), "Trainer.Steps is 2, the checkpoint has 3") {
		t.Errorf("error is %v", err)
	}
	if weights(t, fewer) != before || fewer.StepCount() != 0 {
		t.Error("the model was changed")
	}
	fewer.Close()
	equal := newRun(t, AdamW{LR: 1e-3}, dir, 3)
	mustRun(t, equal)
	if weights(t, equal) != weights(t, done) {
		t.Error("running a complete run changed the model")
	}
	again := newRun(t, AdamW{LR: 1e-3}, "", 3)
	if err := again.Run(t.Context(), randomText(2)); err != nil {
		t.Fatal(err)
	}
	again.Steps = 2
	err = again.Run(t.Context(), randomText(2))
	if err == nil || !strings.Contains(err.Error(), "Trainer.Steps is 2, but 3 steps have been made") {
		t.Errorf("a second run's error is %v", err)
	}
}

// If a caller's file cannot be read, the weights are unchanged.
func TestCallersFileIsReadBeforeTheWeights(t *testing.T) {
	dir := t.TempDir()
	with := func(steps int) *Trainer {
		tr := newRun(t, AdamW{LR: 1e-3}, dir, steps)
		tr.Extra = []ExtraFile{{
			Name:  "cursor.txt",
			Write: func(io.Writer) error { return nil },
			Read:  func(string) error { return errors.New("lost") },
		}}
		return tr
	}
	first := with(1)
	mustRun(t, first)
	first.Close()
	second := with(2)
	before := weights(t, second)
	if _, err := second.Resume(); err == nil || !strings.Contains(err.Error(), "cursor.txt: lost") {
		t.Errorf("error is %v", err)
	}
	if weights(t, second) != before || second.StepCount() != 0 {
		t.Error("the weights were loaded")
	}
	second.Close()
}

func TestDirectoryWithoutCheckpointsStartsAfresh(t *testing.T) {
	tr := newRun(t, AdamW{LR: 1e-3}, filepath.Join(t.TempDir(), "absent"), 1)
	if ok, err := tr.Resume(); ok || err != nil {
		t.Error(ok, err)
	}
	if err := tr.Save(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(tr.Dir); err != nil || len(files) != 1 || files[0].Name() != ".lock" {
		t.Errorf("a save without a step left %v, %v", files, err)
	}
}

func TestChecksumSeesNamesShapesAndEveryBit(t *testing.T) {
	seen := map[string]bool{}
	add := func(name string, shape []int, last float64) {
		ps := newParams(t, backend.F32)
		p := ps.Matrix(name, shape[0], shape[1])
		mustSet(t, p, []float64{1, 2, 3, 4, 5, last})
		h, err := WeightsSHA256(ps.All())
		if err != nil || len(h) != 64 {
			t.Fatal(h, err)
		}
		seen[h] = true
	}
	add("a", []int{2, 3}, 6)
	add("a", []int{2, 3}, 6)
	add("b", []int{2, 3}, 6)
	add("a", []int{3, 2}, 6)
	add("a", []int{2, 3}, 6.0000005) // differs in one bit
	if len(seen) != 4 {
		t.Errorf("%d different sums of 4 different lists: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
}
