package rl

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train/run"
)

// Evaluations during a run do not change its weights, and their metrics are added to the
// metrics of steps.
func TestRunIsEvaluatedAsItGoes(t *testing.T) {
	plain := newRun(t, openCPU(t), model.Options{})
	plain.Steps = 5
	if err := plain.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := newRun(t, openCPU(t), model.Options{})
	prompts, err := g.Data(0)
	if err != nil {
		t.Fatal(err)
	}
	sampler := *generator(g)
	sampler.Sampling = model.Sampling{Temperature: 0.6, TopP: 0.95}
	e := Evaluation{Sampler: &sampler, Seed: 3, Reward: g.Reward, N: 2}
	mean := MetricMeanAt("", 2)
	g.Steps = 5
	g.Trainer.Dir, g.Trainer.EvalEvery, g.Trainer.KeepBest = t.TempDir(), 2, mean
	g.Trainer.Eval = func(ctx context.Context, _ int) (map[string]float64, error) {
		r, err := e.Run(ctx, prompts)
		if err != nil {
			return nil, err
		}
		return r.Metrics(), nil
	}
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if weights(t, g) != weights(t, plain) {
		t.Error("evaluations change what is learned")
	}
	rows, err := run.ReadMetrics(filepath.Join(g.Trainer.Dir, "metrics.jsonl"))
	if err != nil || len(rows) != 5 {
		t.Fatal(len(rows), err)
	}
	for i, row := range rows {
		if _, ok := row[mean]; ok != ((i+1)%2 == 0) {
			t.Errorf("step %d has an evaluation: %t", i+1, ok)
		}
	}
	if best, _ := filepath.Glob(filepath.Join(g.Trainer.Dir, "best", "step-*")); len(best) != 1 {
		t.Errorf("best has %v", best)
	}
}
