package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/lora"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
)

// The folders in the output folder.
const (
	runFolder     = "sft"
	adapterFolder = "adapter"
	modelFolder   = "model"
)

// tuning is one run.
type tuning struct {
	options
	format   backend.Format
	config   model.Config
	b        backend.Backend
	data     *dataset
	epochs   *train.Epochs // deals the conversations out
	steps    int
	m        *model.Model
	source   *model.Source
	adapters *lora.Adapters // nil where all weights train
	result   result
}

// result is the JSON object of -json. Losses are in nats a token, seconds those of this
// process.
type result struct {
	HeldBefore    float64 `json:"held_loss_before"`
	HeldAfter     float64 `json:"held_loss_after"`
	Train         int     `json:"conversations"`
	Held          int     `json:"held_conversations"`
	LeftOut       int     `json:"too_long"`
	Steps         int     `json:"steps"`
	Tokens        int64   `json:"tokens"` // of all steps
	Params        int     `json:"params"`
	Trained       int     `json:"trained_params"`
	Seconds       float64 `json:"seconds"`
	WeightsSHA256 string  `json:"weights_sha256"` // of what was trained
	Out           string  `json:"out"`
}

func (t *tuning) all(ctx context.Context) error {
	began := time.Now()
	fmt.Printf("data: %d conversations to train on, %d held out, %d longer than %d tokens left out; %d steps\n",
		len(t.data.train), len(t.data.held), t.data.long, t.MaxTokens, t.steps)
	if err := t.settle(); err != nil {
		return err
	}
	if err := t.announce(); err != nil {
		return err
	}
	if err := t.load(); err != nil {
		return err
	}
	defer func() {
		if t.m != nil {
			t.m.Free()
		}
	}()
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
	if err := t.save(); err != nil {
		return err
	}
	r := &t.result
	r.Train, r.Held, r.LeftOut, r.Out = len(t.data.train), len(t.data.held), t.data.long, t.Out
	r.Seconds = time.Since(began).Seconds()
	fmt.Printf("held-out loss %.4f, before %.4f (%+.1f%%)\nsaved in %s, %.0f s\n", r.HeldAfter, r.HeldBefore,
		100*(r.HeldAfter/r.HeldBefore-1), filepath.Join(t.Out, modelFolder), r.Seconds)
	return nil
}

// settle puts what decides the result to config.json. A run that is there goes on with
// -resume and the same settings alone.
func (t *tuning) settle() error {
	path := filepath.Join(t.Out, "config.json")
	if _, err := os.Stat(path); !t.Resume && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has a run: -resume continues it; or choose another -out", t.Out)
	}
	return run.Settle(path, struct {
		options
		DataSHA256 string       `json:"data_sha256"`
		Config     model.Config `json:"config"`
	}{t.options, t.data.sum, t.config})
}

// modelOptions are those of the model that is trained.
func (t *tuning) modelOptions() model.Options {
	return model.Options{Format: t.format, Packed: t.Rank > 0 && t.format != backend.Native}
}

// announce says how much memory the run takes, and refuses one that does not fit.
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
	m, err := train.Memory(t.b, func(b backend.Backend) (*train.Trainer, error) {
		o := t.modelOptions()
		o.Uninitialized = true
		m, err := model.NewWith(b, t.config, 0, o)
		if err != nil {
			return nil, err
		}
		if _, err := t.attach(m); err != nil {
			return nil, err
		}
		if _, err := heldLoss(context.Background(), m, t.data.held, t.Rows, func(int, int) {}); err != nil {
			return nil, err
		}
		return t.trainer(m), nil
	}, most)
	if err != nil {
		return err
	}
	return lab.Announce(os.Stdout, t.b, []lab.Phase{{Name: "training", Memory: m}})
}

// rows is the number of tokens that seqs predict.
func rows(seqs []model.Sequence) (n int) {
	for _, q := range seqs {
		n += q.Rows()
	}
	return n
}

// open loads the checkpoint and shows how far it has come.
func (t *tuning) open(o model.Options) (*model.Model, *model.Source, error) {
	shown, end := progress.Watch("loading", "MB")
	defer end()
	const mb = 1e6
	return model.Load(t.b, t.Model, model.LoadOptions{Options: o, Config: &t.config, Progress: func(done, total int64) {
		shown(int(math.Ceil(float64(done)/mb)), int(math.Ceil(float64(total)/mb)))
	}})
}

// load loads the model and attaches its adapters.
func (t *tuning) load() (err error) {
	if t.m, t.source, err = t.open(t.modelOptions()); err != nil {
		return err
	}
	if t.adapters, err = t.attach(t.m); err != nil {
		t.m.Free()
		return err
	}
	for _, p := range t.m.Params.All() {
		t.result.Params += p.Len()
		if p.Trainable {
			t.result.Trained += p.Len()
		}
	}
	fmt.Printf("model: %d parameters, %d of them train\n", t.result.Params, t.result.Trained)
	return nil
}

// attach gives m its adapters, if it is to have some.
func (t *tuning) attach(m *model.Model) (*lora.Adapters, error) {
	if t.Rank == 0 {
		return nil, nil
	}
	return lora.Attach(m, lora.Config{Rank: t.Rank, Alpha: t.Alpha, Targets: t.targets(), Seed: t.Seed})
}

func (t *tuning) trainer(m *model.Model) *train.Trainer {
	return &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: t.LR}, MaxRows: t.Rows, Seed: t.Seed, KeepLast: 2, SaveEvery: t.SaveEvery,
		Schedule: train.WarmUp(max(t.steps/30, 1), train.Linear(0, t.steps, 0.1)),
		Settings: struct {
			Data  string `json:"data_sha256"`
			Steps int    `json:"steps"`
		}{t.data.sum, t.steps},
	}
}

// train makes all steps, from the newest checkpoint on.
func (t *tuning) train(ctx context.Context) error {
	bar := progress.New(t.steps, "training", "steps")
	defer bar.Close()
	tr := t.trainer(t.m)
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

// save writes the adapters and the model, with the adapters merged into the weights of
// the checkpoint.
func (t *tuning) save() (err error) {
	trained := t.m.Params.All()
	if t.adapters != nil {
		trained = t.adapters.Params()
	}
	if t.result.WeightsSHA256, err = train.WeightsSHA256(trained); err != nil {
		return err
	}
	if t.adapters != nil {
		if err := t.merge(); err != nil {
			return err
		}
	}
	var files map[string]func(io.Writer) error
	if t.source.Metadata != nil {
		if files, err = lab.TokenizerFiles(t.Model); err != nil {
			return err
		}
	}
	return model.Save(filepath.Join(t.Out, modelFolder), t.m, model.SaveOptions{Source: t.source, Files: files})
}

// merge saves the adapters, and makes t.m the model of the checkpoint with them merged.
func (t *tuning) merge() error {
	dir := filepath.Join(t.Out, adapterFolder)
	if err := t.adapters.Save(dir, t.Model); err != nil {
		return err
	}
	t.m.Free() // the memory may not hold both
	m, source, err := t.open(model.Options{})
	if err != nil {
		t.m = nil
		return err
	}
	t.m, t.source = m, source
	a, err := lora.Load(m, dir)
	if err != nil {
		return err
	}
	return a.Merge()
}
