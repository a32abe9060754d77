package rl

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/rollout"
)

// An earlier version evaluated such a model without an error.
func TestEvaluatingAModelWithANaNWeightNamesIt(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	w := g.Trainer.Model.Head
	x, err := w.Floats()
	if err != nil {
		t.Fatal(err)
	}
	x[3] = math.NaN()
	if err := w.SetFloats(x); err != nil {
		t.Fatal(err)
	}
	e := Evaluation{Sampler: g.Sampler, Reward: g.Reward}
	r, err := e.Run(context.Background(), []rollout.Prompt{{IDs: []int32{0, 2}, Text: "go"}})
	const want = "the logits are not finite: lm_head.weight[0 3] is NaN"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("result %+v, error %v, want %q", r, err, want)
	}
	if _, err := g.Step(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a step's error %v, want %q", err, want)
	}
}
