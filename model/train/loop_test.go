package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train/run"
)

// scores are the results of the evaluations after each step in these tests.
var scores = map[int]float64{2: 0.1, 4: 0.9, 6: 0.5, 8: 0.9, 10: math.NaN(), 12: 0.2}

// evaluated returns a run that is evaluated every second step.
func evaluated(t testing.TB, dir string, steps int) *Trainer {
	tr := newRun(t, AdamW{LR: 1e-2}, dir, steps)
	tr.SaveEvery, tr.KeepLast, tr.EvalEvery, tr.KeepBest = 3, 1, 2, "score"
	tr.Eval = func(_ context.Context, step int) (map[string]float64, error) {
		return map[string]float64{"score": scores[step], "twice": 2 * scores[step]}, nil
	}
	return tr
}

// lines returns the steps in the metrics of dir, with their scores.
func lines(t testing.TB, dir string) string {
	t.Helper()
	rows, err := run.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		line := fmt.Sprint(r["step"])
		if v, ok := r["score"]; ok {
			line += fmt.Sprintf(":%v", v)
		}
		if _, ok := r["loss"]; !ok {
			line += " alone"
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

// bestOf returns the names in the best folder, and the state in its manifest.
func bestOf(t testing.TB, dir string) (names []string, s state) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "best", "*"))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	for _, f := range found {
		names = append(names, filepath.Base(f))
	}
	snapshot, err := checkpoint.Verify(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(snapshot.Meta[stateKey], &s); err != nil {
		t.Fatal(err)
	}
	return names, s
}

// modelAt returns the content of a checkpoint's weight file.
func modelAt(t testing.TB, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, checkpoint.SingleFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEvaluationsJoinTheMetricsAndTheBestIsKept(t *testing.T) {
	whole, four := t.TempDir(), t.TempDir()
	mustRun(t, evaluated(t, whole, 12))
	const want = "1, 2:0.1, 3, 4:0.9, 5, 6:0.5, 7, 8:0.9, 9, 10:<nil>, 11, 12:0.2"
	if got := lines(t, whole); got != want {
		t.Errorf("metrics %s, want %s", got, want)
	}
	// The first of equal values is kept, and KeepLast does not apply to it.
	names, s := bestOf(t, whole)
	if !slices.Equal(names, []string{"step-000004"}) || s.Best == nil || *s.Best != (best{"score", 0.9, 4}) {
		t.Errorf("best has %v, of %+v", names, s.Best)
	}
	mustRun(t, newRun(t, AdamW{LR: 1e-2}, four, 4))
	if modelAt(t, filepath.Join(whole, "best", "step-000004")) != modelAt(t, filepath.Join(four, "step-000004")) {
		t.Error("the best checkpoint does not have the weights of its step")
	}
}

// Evaluations do not change the weights, and wherever a run is killed, the resumed run ends
// with the weights, metrics and best checkpoint of an uninterrupted one.
func TestBestIsThatOfAnUndisturbedRun(t *testing.T) {
	whole := t.TempDir()
	want := mustRun(t, evaluated(t, whole, 12))
	if plain := mustRun(t, newRun(t, AdamW{LR: 1e-2}, "", 12)); plain != want {
		t.Error("evaluations change the weights")
	}
	for kill := 1; kill < 12; kill++ {
		dir := t.TempDir()
		killed := errors.New("killed")
		lost := evaluated(t, dir, 12)
		err := lost.Run(t.Context(), DataFunc(func(step int) ([]model.Sequence, error) {
			if step == kill {
				return nil, killed
			}
			return randomText(4)(step)
		}))
		if !errors.Is(err, killed) { // an error of Data, after which nothing is saved
			t.Fatal(err)
		}
		lost.Close()
		if got := mustRun(t, evaluated(t, dir, 12)); got != want {
			t.Errorf("killed after %d: the weights differ", kill)
		}
		if got, want := lines(t, dir), lines(t, whole); got != want {
			t.Errorf("killed after %d: metrics %s, want %s", kill, got, want)
		}
		names, s := bestOf(t, dir)
		wantNames, wantState := bestOf(t, whole)
		if !slices.Equal(names, wantNames) || *s.Best != *wantState.Best {
			t.Errorf("killed after %d: best %v %+v", kill, names, s.Best)
		}
		if modelAt(t, filepath.Join(dir, "best", names[0])) != modelAt(t, filepath.Join(whole, "best", names[0])) {
			t.Errorf("killed after %d: the best weights differ", kill)
		}
	}
}

func TestAStopWithinAnEvaluationIsSavedAndMadeGood(t *testing.T) {
	for name, why := range map[string]error{"cancelled": nil, "failed": errors.New("no judge")} {
		dir := t.TempDir()
		tr := evaluated(t, dir, 8)
		ctx, cancel := context.WithCancelCause(t.Context())
		eval := tr.Eval
		stop := errors.New("enough")
		tr.Eval = func(_ context.Context, step int) (map[string]float64, error) {
			if step < 4 {
				return eval(ctx, step)
			}
			if why == nil {
				cancel(stop)
				return nil, context.Cause(ctx)
			}
			return nil, why
		}
		err := tr.Run(ctx, randomText(4))
		want := why
		if want == nil {
			want = stop
		}
		if !errors.Is(err, want) || !says(err, "stopped after step 4, saved in "+dir) {
			t.Errorf("%s: error %v", name, err)
		}
		tr.Close()
		mustRun(t, evaluated(t, dir, 8))
		if got := lines(t, dir); got != "1, 2:0.1, 3, 4, 4:0.9 alone, 5, 6:0.5, 7, 8:0.9" {
			t.Errorf("%s: metrics %s", name, got)
		}
		if names, s := bestOf(t, dir); !slices.Equal(names, []string{"step-000004"}) || s.Best.Value != 0.9 {
			t.Errorf("%s: best %v %+v", name, names, s.Best)
		}
		mustRun(t, evaluated(t, dir, 8)) // the run is complete, so nothing is evaluated again
		if got := lines(t, dir); strings.Count(got, "8:") != 1 {
			t.Errorf("%s: metrics %s", name, got)
		}
	}
}

func TestEvaluationsThatMakeNoSenseAreNamed(t *testing.T) {
	for want, spoil := range map[string]func(tr *Trainer){
		"the step has a metric loss too": func(tr *Trainer) {
			tr.Eval = func(context.Context, int) (map[string]float64, error) { return map[string]float64{"loss": 1}, nil }
		},
		"it has no metric other, which is Trainer.KeepBest": func(tr *Trainer) { tr.KeepBest = "other" },
		"Trainer.EvalEvery is 2 and Trainer.Eval is nil":    func(tr *Trainer) { tr.Eval, tr.KeepBest = nil, "" },
		"Trainer.Eval is set and Trainer.EvalEvery is 0":    func(tr *Trainer) { tr.EvalEvery = 0 },
		`Trainer.KeepBest is "score" without`:               func(tr *Trainer) { tr.Eval, tr.EvalEvery = nil, 0 },
	} {
		tr := evaluated(t, t.TempDir(), 4)
		spoil(tr)
		if err := tr.Run(t.Context(), randomText(4)); !says(err, want) {
			t.Errorf("error %v, want %s", err, want)
		}
		tr.Close()
	}
}

// The fields of a loop may change before the next loop, and are checked again.
func TestFieldsOfTheNextLoopAreChecked(t *testing.T) {
	t.Chdir(t.TempDir())
	for want, spoil := range map[string]func(tr *Trainer){
		"Trainer.EvalEvery is -1":                        func(tr *Trainer) { tr.EvalEvery = -1 },
		"Trainer.EvalEvery is 2 and Trainer.Eval is nil": func(tr *Trainer) { tr.Eval = nil },
		"Trainer.Eval is set and Trainer.EvalEvery is 0": func(tr *Trainer) { tr.EvalEvery = 0 },
		`Trainer.KeepBest is "score" without`:            func(tr *Trainer) { tr.KeepBest = "score" },
		"Trainer.SaveEvery is -1":                        func(tr *Trainer) { tr.SaveEvery = -1 },
		"Trainer.KeepLast is -1":                         func(tr *Trainer) { tr.KeepLast = -1 },
	} {
		tr := evaluated(t, "", 2)
		tr.KeepBest = ""
		if err := tr.Run(t.Context(), randomText(4)); err != nil {
			t.Fatal(err)
		}
		tr.Steps = 4
		spoil(tr)
		if err := tr.Run(t.Context(), randomText(4)); !says(err, want) || tr.StepCount() != 2 {
			t.Errorf("error %v after step %d, want %s", err, tr.StepCount(), want)
		}
		tr.Close()
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("files %v in the working directory, %v", left, err)
	}
}
