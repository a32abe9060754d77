package main

import (
	"context"
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
)

// runFolder is the subfolder of the output folder with the run's checkpoints and metrics.
const runFolder = "sft"

// tuning is one run of the command.
type tuning struct {
	*tune.Run
	batch  int
	data   *dataset
	epochs *train.Epochs // makes the batches
	steps  int
	result result
}

// result is what -json prints. Losses are in nats per token.
type result struct {
	HeldBefore    float64 `json:"held_loss_before"`
	HeldAfter     float64 `json:"held_loss_after"`
	Train         int     `json:"conversations"`
	Held          int     `json:"held_conversations"`
	LeftOut       int     `json:"too_long"`
	Steps         int     `json:"steps"`
	Tokens        int64   `json:"tokens"` // trained on in all steps
	Params        int     `json:"params"`
	Trained       int     `json:"trained_params"`
	Seconds       float64 `json:"seconds"`        // of this process
	WeightsSHA256 string  `json:"weights_sha256"` // of the trained parameters
	Out           string  `json:"out"`
}

func (t *tuning) all(ctx context.Context) error {
	began := time.Now()
	fmt.Printf("data: %d conversations to train on, %d held out, %d longer than %d tokens left out; %d steps\n",
		len(t.data.train), len(t.data.held), t.data.long, t.MaxTokens, t.steps)
	if err := t.Settle(struct {
		options
		DataSHA256 string       `json:"data_sha256"`
		Config     model.Config `json:"config"`
	}{options{t.Options, t.batch}, t.data.sum, t.Config}); err != nil {
		return err
	}
	if err := t.announce(); err != nil {
		return err
	}
	if err := t.Load(); err != nil {
		return err
	}
	var err error
	if t.result.HeldBefore, err = t.evaluate(ctx); err != nil {
		return err
	}
	fmt.Printf("held-out loss before: %.4f\n", t.result.HeldBefore)
	if err := t.train(ctx); err != nil {
		return err
	}
	if t.result.HeldAfter, err = t.evaluate(ctx); err != nil {
		return err
	}
	r := &t.result
	if r.WeightsSHA256, err = t.Save(); err != nil {
		return err
	}
	r.Train, r.Held, r.LeftOut, r.Out = len(t.data.train), len(t.data.held), t.data.long, t.Out
	r.Params, r.Trained = t.Params, t.TrainedParams
	r.Seconds = time.Since(began).Seconds()
	fmt.Printf("held-out loss %.4f, before %.4f (%+.1f%%)\nsaved in %s after %.0f s\n", r.HeldAfter, r.HeldBefore,
		100*(r.HeldAfter/r.HeldBefore-1), filepath.Join(t.Out, tune.ModelFolder), r.Seconds)
	return nil
}

// announce prints how much memory the run needs, and returns an error if it does not fit.
func (t *tuning) announce() error {
	var most []model.Sequence
	for i := range t.steps {
		seqs, err := t.epochs.Batch(i)
		if err != nil {
			return err
		}
		if rows(seqs) > rows(most) {
			most = seqs
		}
	}
	m, err := train.Memory(t.Backend, func(b backend.Backend) (*train.Trainer, error) {
		m, err := t.Build(b)
		if err != nil {
			return nil, err
		}
		if _, err := heldLoss(context.Background(), m, t.data.held, t.Rows, func(int, int) {}); err != nil {
			return nil, err
		}
		return t.Trainer(m, t.steps, t.data.sum), nil
	}, most)
	if err != nil {
		return err
	}
	return lab.Announce(os.Stdout, t.Backend, []lab.Phase{{Name: "training", Memory: m}})
}

// rows returns the number of tokens that seqs predict.
func rows(seqs []model.Sequence) (n int) {
	for _, q := range seqs {
		n += q.Rows()
	}
	return n
}

// train runs the steps that are left after the newest checkpoint.
func (t *tuning) train(ctx context.Context) error {
	bar := progress.New(t.steps, "training", "steps")
	defer bar.Close()
	tr := t.Trainer(t.Trained, t.steps, t.data.sum)
	defer tr.Close()
	tr.Dir = filepath.Join(t.Out, runFolder)
	tr.Log = slog.New(slog.NewTextHandler(bar, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tr.OnStep = func(m train.Metrics) {
		bar.Describe(fmt.Sprintf("training, loss %.3f", m.Values[train.MetricLoss]))
		bar.Add(1)
	}
	if resumed, err := tr.Resume(); err != nil {
		return err
	} else if resumed {
		bar.Skip(tr.StepCount())
		fmt.Fprintf(bar, "continued from the checkpoint of step %d\n", tr.StepCount())
	}
	for tr.StepCount() < t.steps {
		tr.Steps = t.steps
		if t.Eval > 0 {
			tr.Steps = min((tr.StepCount()/t.Eval+1)*t.Eval, t.steps)
		}
		if err := tr.Run(ctx, t.epochs); err != nil {
			return err
		}
		if tr.StepCount() < t.steps {
			loss, err := t.evaluate(ctx)
			if err != nil {
				return err
			}
			fmt.Fprintf(bar, "step %d: held-out loss %.4f\n", tr.StepCount(), loss)
		}
	}
	t.result.Steps, t.result.Tokens = tr.StepCount(), tr.Tokens()
	return nil
}
