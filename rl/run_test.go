package rl

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// After Close, another run can use the Trainer, and the closed run stays closed.
func TestClosedRunGivesTheTrainerBack(t *testing.T) {
	first := newRun(t, openCPU(t), model.Options{})
	first.Trainer.Settings = "mine"
	mustStep(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if tr := first.Trainer; tr.Settings != "mine" || len(tr.Extra) != 0 {
		t.Errorf("settings %v and %d further files are left", tr.Settings, len(tr.Extra))
	}
	if _, err := first.Step(context.Background()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a step after Close: %v", err)
	}
	second := &GRPO{Trainer: first.Trainer, Sampler: first.Sampler, Data: first.Data, Reward: first.Reward, G: 4, Steps: 1}
	if err := second.Run(context.Background()); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// After a step that fails between two updates, the run neither saves nor continues, even if
// it is cancelled at the same time.
func TestStepBrokenOffHalfwayIsNotSaved(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	g.Trainer.Dir, g.MiniBatches = t.TempDir(), 2
	ctx, cancel := context.WithCancel(context.Background())
	updates := 0
	g.Loss = func(tokens Tokens) tensor.Tensor {
		if updates++; updates == 2 {
			cancel()
			return tensor.Scale(g.Objective.Loss(tokens), math.NaN())
		}
		return g.Objective.Loss(tokens)
	}
	for range 2 { // the second call must not continue between the updates
		if err := g.Run(ctx); err == nil || !strings.Contains(err.Error(), "the loss is NaN") {
			t.Errorf("error is %v", err)
		}
		ctx = context.Background()
	}
	if saved, _ := filepath.Glob(filepath.Join(g.Trainer.Dir, "step-*")); len(saved) > 0 {
		t.Errorf("saved %v", saved)
	}
}

func TestBadFieldsAreErrors(t *testing.T) {
	for name, spoil := range map[string]func(*GRPO){
		"GRPO.G is 1":                     func(g *GRPO) { g.G = 1 },
		`LossType is "sapo"`:              func(g *GRPO) { g.LossType = "sapo" },
		`Scaling is "none "`:              func(g *GRPO) { g.Scaling = "none " },
		"without Objective.Bet":           func(g *GRPO) { g.RefSync = 3 },
		"EpsilonLow":                      func(g *GRPO) { g.Objective.EpsilonLow = 2 },
		"step 0: GRPO.Data returned none": func(g *GRPO) { g.Data = func(int) ([]rollout.Prompt, error) { return nil, nil } },
		"MaxTokens is 0":                  func(g *GRPO) { generator(g).MaxTokens = 0 },
	} {
		g := newRun(t, openCPU(t), model.Options{})
		spoil(g)
		if _, err := g.Step(context.Background()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want it to say %q", err, name)
		}
	}
	g := newRun(t, openCPU(t), model.Options{})
	g.Steps = 0
	if err := g.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "Steps is 0") {
		t.Errorf("a run of no steps: %v", err)
	}
}

// Each step has its own random completions and shuffle, and each pass over a rollout its own
// random mini-batches.
func TestEveryStepAndPassHasDrawsOfItsOwn(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	g.Trainer.Optimizer = still{}
	data, err := g.Data(0)
	if err != nil {
		t.Fatal(err)
	}
	g.Data = func(int) ([]rollout.Prompt, error) { return data, nil }
	g.Shuffle, g.NumIterations, g.MiniBatches = true, 2, 2
	calls := 0.
	g.Reward.Workers = 1 // calls in order: sample i gets i
	g.Reward.Funcs[0].Score = func(context.Context, reward.Sample) reward.Verdict {
		calls++
		return reward.Verdict{Status: reward.Wrong, Value: math.Mod(calls-1, 16)}
	}
	var texts, deals []string
	var orders [][]float64
	g.OnRollout = func(r *Rollout) {
		text := ""
		var order []float64
		for i, s := range r.Samples {
			text += s.Text + " "
			order = append(order, r.Rewards[i].Value)
		}
		texts, orders = append(texts, text), append(orders, order)
	}
	g.Loss = func(tokens Tokens) tensor.Tensor {
		text := ""
		for _, q := range tokens.Batch.Host {
			text += hexText(q.IDs) + " "
		}
		deals = append(deals, text)
		return g.Objective.Loss(tokens)
	}
	for range 2 {
		mustStep(t, g)
	}
	if texts[0] == texts[1] {
		t.Error("two steps with the same weights and prompts sample the same completions")
	}
	if slices.Equal(orders[0], orders[1]) {
		t.Error("two steps shuffle alike")
	}
	if len(deals) != 8 || deals[0] == deals[2] || deals[4] == deals[6] {
		t.Errorf("two passes over a rollout have the same mini-batches: %q", deals)
	}
}

// still is an optimizer that changes nothing.
type still struct{}

func (still) Validate() error                      { return nil }
func (still) LearningRate() float64                { return 1 }
func (still) Moments(*tensor.Param) []train.Moment { return nil }
func (still) Update(*tensor.Scope, *tensor.Param, backend.View, []backend.View, backend.View) {
}

// Reward functions see the prefill and the completion without its stop token.
func TestRewardSeesPrefillAndCompletionWithoutItsStop(t *testing.T) {
	g := newRun(t, openCPU(t), model.Options{})
	generator(g).Stop = []int32{3, 4, 5, 6, 7, 8, 9}
	samples, err := g.Sampler.Sample(context.Background(), []rollout.Prompt{{IDs: []int32{2}, Prefill: "<think>"}},
		rollout.Draw{Seed: 1, N: 16})
	if err != nil {
		t.Fatal(err)
	}
	ended := 0
	for _, s := range samples {
		want := "<think>" + hexText(s.IDs)
		if s.Finish == model.Stopped {
			ended++
			want = want[:len(want)-1]
		}
		if s.Text != want {
			t.Errorf("tokens %v (%v) became %q, want %q", s.IDs, s.Finish, s.Text, want)
		}
	}
	if ended == 0 {
		t.Error("no completion ended with a stop token: the test is not conclusive")
	}
}
