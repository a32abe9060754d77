package rl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
)

// everything returns a run that uses every kind of state: moments, biases, a reference model
// that is updated, several updates in a step.
func everything(t testing.TB, dir string, steps int) *GRPO {
	g := newRun(t, openCPU(t), model.Options{})
	g.Steps = steps
	g.Trainer.Dir = dir
	g.NumIterations, g.MiniBatches, g.SkipZeroStd = 2, 2, true
	g.Objective.Beta, g.RefSync = 0.05, 3
	return g
}

// mustRun runs g and closes its Trainer, so that another run can use the folder.
func mustRun(t testing.TB, g *GRPO) []train.Metrics {
	t.Helper()
	defer g.Trainer.Close()
	var all []train.Metrics
	g.OnStep = func(m train.Metrics) {
		m.Time = 0
		all = append(all, m)
	}
	if err := g.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestResumedRunEqualsUninterrupted(t *testing.T) {
	whole := everything(t, "", 5)
	want := mustRun(t, whole)

	dir := t.TempDir()
	got := mustRun(t, everything(t, dir, 2))
	second := everything(t, dir, 5)
	got = append(got, mustRun(t, second)...)

	if weights(t, second) != weights(t, whole) {
		t.Error("weights differ")
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("metrics differ:\n%v\n%v", got, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != 5 {
		t.Errorf("metrics.jsonl has %d lines", n)
	}
}

// A cancelled run stops between steps, with a checkpoint.
func TestCancelledRunGoesOnWhereItStopped(t *testing.T) {
	whole := everything(t, "", 4)
	mustRun(t, whole)

	dir := t.TempDir()
	first := everything(t, dir, 4)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first.OnRollout = func(r *Rollout) {
		if r.Step == 1 {
			cancel() // in the middle of the second step, which is still completed
		}
	}
	if err := first.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	if first.StepCount() != 2 {
		t.Errorf("stopped after step %d", first.StepCount())
	}
	first.Trainer.Close()
	second := everything(t, dir, 4)
	if steps := mustRun(t, second); len(steps) != 2 {
		t.Errorf("%d steps after resuming", len(steps))
	}
	if weights(t, second) != weights(t, whole) {
		t.Error("weights differ")
	}
}

// If a step is made again, its verdicts are read from the log, since they may depend on
// time.
func TestVerdictsAreReplayed(t *testing.T) {
	dir := t.TempDir()
	var calls atomic.Int64
	start := func() *GRPO {
		g := everything(t, dir, 3)
		g.Reward.Workers = 1
		g.Reward.Funcs[0].Score = func(ctx context.Context, s reward.Sample) reward.Verdict {
			if calls.Add(1)%5 == 0 { // other samples in a second run
				return reward.Verdict{Status: reward.Timeout}
			}
			return sevens(ctx, s)
		}
		return g
	}
	first := start()
	mustStep(t, first)
	if err := first.Trainer.Save(); err != nil {
		t.Fatal(err)
	}
	mustStep(t, first)
	want := weights(t, first)
	made := calls.Load()
	first.Trainer.Close()

	// The run is killed here, in the middle of a line of the log.
	path := filepath.Join(dir, "verdicts.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"version":1,"step":2,"rol`)
	f.Close()

	second := start()
	var log strings.Builder
	second.Trainer.Log = slog.New(slog.NewTextHandler(&log, nil))
	m := mustStep(t, second)
	if !strings.Contains(log.String(), "WARN") || !strings.Contains(log.String(), path) ||
		!strings.Contains(log.String(), "line 3: no newline at its end: removed, steps from 2 on are scored anew") {
		t.Errorf("logged %q", log.String())
	}
	if calls.Load() != made {
		t.Errorf("%d samples were scored again", calls.Load()-made)
	}
	if weights(t, second) != want {
		t.Error("weights differ")
	}
	if m.Values["rewards/sevens/timeout"] == 0 {
		t.Error("no timeout in the replayed step")
	}
	mustStep(t, second)
	if calls.Load() != made+16 {
		t.Errorf("%d verdicts for the new step", calls.Load()-made)
	}
}

func TestLogOfAnotherRolloutIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := everything(t, dir, 3)
	mustStep(t, first) // no checkpoint
	first.Trainer.Close()
	other := everything(t, dir, 3)
	other.Trainer.Seed++
	if _, err := other.Step(context.Background()); err == nil || !strings.Contains(err.Error(), "verdicts.jsonl") {
		t.Errorf("error is %v", err)
	}
	other.Trainer.Close()
	moved := everything(t, dir, 3)
	moved.Trainer.Seed++
	moved.Trainer.AllowDifferentPath = true
	mustStep(t, moved)
}

func TestOtherSettingsAreRefused(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, everything(t, dir, 1))
	for name, change := range map[string]func(*GRPO){
		"EpsilonHigh":                func(g *GRPO) { g.Objective.EpsilonHigh = 0.28 },
		"top_k":                      func(g *GRPO) { generator(g).Sampling.TopK = 5 },
		"top_p":                      func(g *GRPO) { generator(g).Sampling.TopP = 0.95 },
		"temperature":                func(g *GRPO) { generator(g).Sampling.Temperature = 0.7 },
		"max_completion_length":      func(g *GRPO) { generator(g).MaxTokens-- },
		"num_generations":            func(g *GRPO) { g.G = 2 },
		"stop":                       func(g *GRPO) { generator(g).Stop = []int32{1, 2} },
		"scale_rewards":              func(g *GRPO) { g.Scaling = ScaleNone },
		"std_eps":                    func(g *GRPO) { g.StdEps = 1e-6 },
		"skip_zero_std":              func(g *GRPO) { g.SkipZeroStd = false },
		"mask_truncated_completions": func(g *GRPO) { g.MaskTruncated = true },
		"shuffle":                    func(g *GRPO) { g.Shuffle = true },
		"loss_type":                  func(g *GRPO) { g.LossType = LossGRPO },
		"num_iterations":             func(g *GRPO) { g.NumIterations = 1 },
		"mini_batches":               func(g *GRPO) { g.MiniBatches = 3 },
		"ref_sync":                   func(g *GRPO) { g.RefSync = 1 },
		"reward_funcs":               func(g *GRPO) { g.Reward.Funcs[0].Weight = 2 },
		"own":                        func(g *GRPO) { g.Trainer.Settings = 7 },
	} {
		other := everything(t, dir, 2)
		change(other)
		if err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v", name, err)
		}
		other.Trainer.Close()
	}
}

// It is an error if Steps is less than the number of steps made. If it is equal, the run is
// complete.
func TestFewerStepsThanTheCheckpointHasIsAnError(t *testing.T) {
	dir := t.TempDir()
	done := everything(t, dir, 2)
	mustRun(t, done)
	done.Trainer.Close()
	files := listing(t, dir)
	fewer := everything(t, dir, 1)
	before := weights(t, fewer)
	wantError(t, fewer.Run(context.Background()), dir, "GRPO.Steps is 1, but the checkpoint is of step 2")
	if weights(t, fewer) != before || fewer.StepCount() != 0 {
		t.Error("the model was changed")
	}
	fewer.Trainer.Close()
	if now := listing(t, dir); now != files {
		t.Errorf("the folder was\n%s\nand is\n%s", files, now)
	}
	equal := everything(t, dir, 2)
	if steps := mustRun(t, equal); len(steps) != 0 || weights(t, equal) != weights(t, done) {
		t.Errorf("%d more steps", len(steps))
	}
	again := everything(t, "", 2)
	if err := again.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	again.Steps = 1
	wantError(t, again.Run(context.Background()), "GRPO.Steps is 1, but 2 steps have been made")
}
