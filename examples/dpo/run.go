package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
)

// runFolder is the subfolder of the output folder with the run's checkpoints and metrics.
const runFolder = "dpo"

// tuning is one run of the command.
type tuning struct {
	*tune.Run
	options options
	data    *dataset
	steps   int
	result  result
}

// result is what -json prints. The results on held-out pairs are measured after the last
// step.
type result struct {
	Accuracy      float64 `json:"held_accuracy"` // share of pairs whose chosen completion has the greater reward
	Margin        float64 `json:"held_margin"`   // mean reward of chosen completions minus that of rejected ones
	Loss          float64 `json:"held_loss"`
	Train         int     `json:"pairs"`
	Held          int     `json:"held_pairs"`
	LeftOut       int     `json:"too_long"`
	Equal         int     `json:"equal_completions"`
	Steps         int     `json:"steps"`
	Tokens        int64   `json:"tokens"` // trained on in all steps
	Params        int     `json:"params"`
	Trained       int     `json:"trained_params"`
	Seconds       float64 `json:"seconds"`        // of this process
	WeightsSHA256 string  `json:"weights_sha256"` // of the trained parameters
	Out           string  `json:"out"`
}

func (t *tuning) all(ctx context.Context) (err error) {
	began := time.Now()
	fmt.Printf("data: %d pairs to train on, %d held out; left out: %d longer than %d tokens, %d with equal completions; "+
		"%d steps\n", len(t.data.train), len(t.data.held), t.data.long, t.MaxTokens, t.data.equal, t.steps)
	if err := t.Settle(struct {
		options
		DataSHA256 string       `json:"data_sha256"`
		Config     model.Config `json:"config"`
	}{t.options, t.data.sum, t.Config}); err != nil {
		return err
	}
	if err := t.announce(); err != nil {
		return err
	}
	if err := t.Load(); err != nil {
		return err
	}
	if err := t.train(ctx); err != nil {
		return err
	}
	r := &t.result
	if r.WeightsSHA256, err = t.Save(); err != nil {
		return err
	}
	r.Train, r.Held, r.LeftOut, r.Equal, r.Out = len(t.data.train), len(t.data.held), t.data.long, t.data.equal, t.Out
	r.Params, r.Trained = t.Params, t.TrainedParams
	r.Seconds = time.Since(began).Seconds()
	fmt.Printf("held-out pairs: the chosen completion has the greater reward in %.1f%%, margin %.3f, loss %.4f\n"+
		"saved in %s after %.0f s\n", 100*r.Accuracy, r.Margin, r.Loss, filepath.Join(t.Out, tune.ModelFolder), r.Seconds)
	return nil
}

// dpo returns the training of m.
func (t *tuning) dpo(m *model.Model) *rl.DPO {
	o := t.options
	return &rl.DPO{
		Trainer: t.Trainer(m, t.steps, t.data.sum), Pairs: t.data.train, Held: t.data.held, Batch: o.Batch, Steps: t.steps,
		Beta: o.Beta, Loss: rl.PreferenceLoss(o.Loss), LabelSmoothing: o.Smoothing, Precompute: o.Precompute,
	}
}

// announce prints how much memory the run needs, and returns an error if it does not fit.
func (t *tuning) announce() error {
	m, err := rl.DPOMemory(t.Backend, func(b backend.Backend) (*rl.DPO, error) {
		m, err := t.Build(b)
		if err != nil {
			return nil, err
		}
		return t.dpo(m), nil
	})
	if err != nil {
		return err
	}
	return lab.Announce(os.Stdout, t.Backend, []lab.Phase{{Name: "training", Memory: m}})
}

// train runs the steps that are left after the newest checkpoint and evaluates the held-out
// pairs.
func (t *tuning) train(ctx context.Context) (err error) {
	d := t.dpo(t.Trained)
	tr := d.Trainer
	defer tr.Close()
	defer func() { err = errors.Join(err, d.Close()) }()
	bar := progress.New(t.steps, "training", "steps")
	defer bar.Close()
	tr.Dir = filepath.Join(t.Out, runFolder)
	tr.Log = slog.New(slog.NewTextHandler(bar, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if t.Eval > 0 {
		tr.EvalEvery = t.Eval
		tr.Eval = func(ctx context.Context, _ int) (map[string]float64, error) { return d.Evaluate(ctx) }
	}
	d.OnPrecompute = func(done, total int) {
		bar.Describe(fmt.Sprintf("the reference model has scored %d of %d pairs", done, total))
	}
	first := true
	d.OnStep = func(m train.Metrics) {
		if first && m.Step > 1 {
			bar.Skip(m.Step - 1)
			fmt.Fprintf(bar, "continued from the checkpoint of step %d\n", m.Step-1)
		}
		first = false
		v := m.Values
		bar.Describe(fmt.Sprintf("training, loss %.3f, margin %.3f", v[train.MetricLoss], v[rl.MetricRewardsMargins]))
		bar.Add(1)
		if right, ok := v[rl.MetricEval+rl.MetricRewardsAccuracies]; ok {
			fmt.Fprintf(bar, "step %d: held-out reward accuracy %.1f%%\n", m.Step, 100*right)
		}
	}
	if err := d.Run(ctx); err != nil {
		return err
	}
	bar.Describe("held-out pairs")
	v, err := d.Evaluate(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("evaluation stopped, the training so far is saved: %w", context.Cause(ctx))
	} else if err != nil {
		return err
	}
	r := &t.result
	r.Accuracy, r.Margin = v[rl.MetricEval+rl.MetricRewardsAccuracies], v[rl.MetricEval+rl.MetricRewardsMargins]
	r.Loss = v[rl.MetricEval+train.MetricLoss]
	r.Steps, r.Tokens = d.StepCount(), tr.Tokens()
	return nil
}
