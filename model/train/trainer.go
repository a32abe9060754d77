package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/moe"
)

// Data gives the batches of a run.
type Data interface {
	// Batch is the global batch of a step, the first being 0. It is a pure
	// function of the step, so that a resumed run reads on where it stopped.
	Batch(step int) ([]model.Sequence, error)
}

// DataFunc is Data made of a function.
type DataFunc func(step int) ([]model.Sequence, error)

// Batch calls f.
func (f DataFunc) Batch(step int) ([]model.Sequence, error) { return f(step) }

// Trainer trains a model. Fill in the fields, then call Run, or Step or Update
// as often as needed, from one goroutine. From the first call on, the fields that
// decide what is trained or recorded must not change, and the model and the
// Drafter must keep their parameters and gates: otherwise calls fail with an
// error that names what changed. Steps, SaveEvery, KeepLast, Eval, EvalEvery,
// KeepBest, OnStep, Log and AllowDifferentPath are free. Settings, Extra and Keep
// may change before a call of Resume.
type Trainer struct {
	Model *model.Model // required
	// Drafter's loss is added by DefaultLoss, and the balance of its gates looked
	// after with that of the model's; nil means none. It is one of Model's, and its
	// parameters are among the model's.
	Drafter   model.Drafter
	Optimizer Optimizer // required
	Schedule  Schedule  // multiplies the learning rates; nil means Constant(1)
	Steps     int       // optimizer steps of Run, those before a resume included; required there

	// Loss computes a micro-batch's share of the loss, of shape [1]; nil means
	// DefaultLoss. One's own is put together by Assemble, which adds the losses of
	// Drafter and balance.
	// Batch.Weight is normalised over the global batch, so a sum
	// weighted by it does not depend on how the batch was split.
	Loss func(s *tensor.Scope, b model.Batch) tensor.Tensor

	MaxRows  int     // rows of a micro-batch of Step, see model.MicroBatches; 0 means the whole batch
	ClipNorm float64 // largest norm of the gradient; 0 means 1, as V3 has it; +Inf means no clipping
	// SkipNonFinite leaves out the update of a step whose loss or gradient is not
	// finite, and reports it as MetricSkipped. Otherwise it is an error.
	SkipNonFinite bool

	BalanceAlpha float64  // factor of the sequence-wise balance loss, see Assemble; 0 leaves it out, V3 uses 1e-4
	BiasRate     Schedule // γ, the step of the gates' selection biases; nil means 0.001, see V3BiasRate
	CenterBias   bool     // keeps the sum of each gate's biases constant, as Moonlight does
	EMADecay     float64  // keeps an exponential moving average of what checkpoints hold; 0 means none

	// Dir receives checkpoints and, from Run, metrics.jsonl; "" means no files.
	// A run continues from the newest complete checkpoint there. Checkpoints of a model
	// with adapters hold what trains alone, and a checksum of the rest: they continue only
	// over the same base weights. The Trainer locks
	// the folder from its first call until Close, see run.Lock.
	Dir       string
	SaveEvery int // steps between checkpoints; 0 means only when Run ends
	KeepLast  int // newest checkpoints to keep; 0 means all

	// Eval measures the model after every EvalEvery steps of a run: its metrics join
	// those of the step, whose names they must not have. It must not change the
	// model. A stop or an error in it leaves a checkpoint, and the run that goes on
	// from it evaluates first, in a line of metrics.jsonl of its own. Both are set
	// or none.
	EvalEvery int
	Eval      func(ctx context.Context, step int) (map[string]float64, error)
	// KeepBest is a metric of Eval's: the checkpoint of its greatest value, the first
	// of several, is kept in the folder best of Dir, where KeepLast does not count.
	KeepBest string

	// Keep are further tensors for the weights' file: what checkpoint.Load left
	// unclaimed, see checkpoint.Reader.Verbatim.
	Keep []checkpoint.Tensor
	// Extra are further files of a checkpoint: the caller's own state.
	Extra []ExtraFile

	Seed uint64 // recorded in checkpoints; random choices of losses and data should derive from it and the step
	// Settings is whatever else the result depends on, such as the parameters of
	// Loss. Its JSON is recorded, and a checkpoint with another is refused.
	Settings any
	// AllowDifferentPath permits resuming on another backend, kernel path or
	// GOARCH, which changes the bits of what follows.
	AllowDifferentPath bool

	OnStep func(Metrics) // called after each step of Run, unless it is nil
	// Log receives what looks wrong (skipped updates, damaged checkpoints, repaired
	// files, another platform) as warnings, and resumes and checkpoints as
	// information. If nil, warnings go to standard error and the rest is dropped; to
	// log nothing, use slog.New(slog.DiscardHandler).
	Log *slog.Logger

	begun   constants // what the fields were at the start
	started bool
	closed  bool
	failed  error // set when an update broke off halfway
	step    int   // optimizer steps made
	saved   int   // step of the newest checkpoint
	// evaluated is the last step of a Loop that was evaluated.
	evaluated int
	best      *best // nil before the first
	tokens    int64 // consumed by them
	params    []*tensor.Param
	stored    []*tensor.Param // those of checkpoints and of the moving average, see storedParams
	base      string          // checksum of the others, once it was needed
	gates     []layerGate
	scope     *tensor.Scope
	moments   *Moments
	ema       *average
	store     checkpoint.Store
	lock      *run.FolderLock // of Dir; nil without
	metrics   *metricsFile    // opened last; nil if none was
	sums      []observed      // of the running step
	after     []func() error  // of the running micro-batch
}

// layerGate is a gate, the layer it is in, and its place among the gates of that.
type layerGate struct {
	*moe.Gate
	layer, place int
}

// StepCount is the number of optimizer steps made, those before a resume
// included.
func (t *Trainer) StepCount() int { return t.step }

// Tokens is the number of tokens consumed by the steps made.
func (t *Trainer) Tokens() int64 { return t.tokens }

// Run trains until Steps steps are made, beginning with the newest complete
// checkpoint in Dir, if there is one, and saving at the end. It fails if more
// than Steps are made already. When ctx is cancelled it saves what it has and
// returns the cause.
func (t *Trainer) Run(ctx context.Context, data Data) error {
	if t.Steps <= 0 {
		return fmt.Errorf("train: Trainer.Steps is %d, want 1 or more", t.Steps)
	}
	if t.step == 0 {
		if _, err := t.resume(t.Steps); err != nil {
			return err
		}
	}
	if t.step > t.Steps {
		return fmt.Errorf("train: Trainer.Steps is %d, %d are made", t.Steps, t.step)
	}
	return t.Loop(ctx, Loop{
		Name: "train", Steps: t.Steps, Made: t.StepCount, OnStep: t.OnStep,
		Step: func(ctx context.Context) (Metrics, error) {
			seqs, err := data.Batch(t.step)
			if err != nil {
				return Metrics{}, fmt.Errorf("train: data of step %d: %w", t.step+1, err)
			}
			return t.Step(ctx, seqs)
		},
		Broken: func() bool { return t.failed != nil },
	})
}

// start checks the fields and allocates what a run needs, once. Later calls check
// that the fields are still those.
func (t *Trainer) start() error {
	if t.started {
		return t.unchanged()
	}
	switch {
	case t.closed:
		return errors.New("train: the Trainer is closed")
	case t.Model == nil:
		return errors.New("train: Trainer.Model is nil")
	case t.Optimizer == nil:
		return errors.New("train: Trainer.Optimizer is nil")
	}
	if err := t.validate(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := t.begin(); err != nil {
		return err
	}
	t.store.Dir = t.Dir
	if t.Dir != "" && t.lock == nil {
		lock, err := run.Lock(t.Dir)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		t.lock = lock
	}
	moments, err := NewMoments(t.Optimizer, t.params)
	if err != nil {
		return err
	}
	if t.EMADecay > 0 {
		if t.ema, err = newAverage(t.EMADecay, t.stored); err != nil {
			moments.Free()
			return err
		}
	}
	t.moments = moments
	t.scope = tensor.NewScope(t.Model.Backend(), tensor.Options{Grad: true, Trained: t.Model.Params})
	t.started = true
	return nil
}

// allGates are the gates of the model and of the Drafter, each once where blocks share it.
func (t *Trainer) allGates() []layerGate {
	var all []layerGate
	add := func(gates []*moe.Gate, layers []int) {
		for i, g := range gates {
			if slices.ContainsFunc(all, func(x layerGate) bool { return x.Gate == g }) {
				continue
			}
			place := 0
			if n := len(all); n > 0 && all[n-1].layer == layers[i] {
				place = all[n-1].place + 1
			}
			all = append(all, layerGate{g, layers[i], place})
		}
	}
	add(t.Model.Gates())
	if t.Drafter != nil {
		add(t.Drafter.Gates())
	}
	return all
}

// Close gives back the memory of optimizer state, averages and activations,
// unlocks Dir, and ends the Trainer: what is called later fails. The model stays
// the caller's.
func (t *Trainer) Close() {
	t.closed = true
	if t.lock != nil {
		if err := t.lock.Close(); err != nil {
			t.Logger().Warn("the lock of the folder", "dir", t.Dir, "error", err)
		}
		t.lock = nil
	}
	if !t.started {
		return
	}
	t.started = false
	t.scope.Close()
	t.moments.Free()
	if t.ema != nil {
		t.ema.free()
		t.ema = nil
	}
}

func (t *Trainer) clipNorm() float64 { return cmp.Or(t.ClipNorm, 1) }

// Logger is Log or, if that is nil, a logger of warnings to standard error. What
// builds on a Trainer reports to it.
func (t *Trainer) Logger() *slog.Logger {
	if t.Log == nil {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return t.Log
}
