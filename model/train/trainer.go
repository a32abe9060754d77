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

// Data provides the batches of a run.
type Data interface {
	// Batch returns the global batch of a step; the first step is 0. It must be a pure
	// function of the step, so that a resumed run continues with the next batch.
	Batch(step int) ([]model.Sequence, error)
}

// DataFunc is a function that implements Data.
type DataFunc func(step int) ([]model.Sequence, error)

// Batch calls f.
func (f DataFunc) Batch(step int) ([]model.Sequence, error) { return f(step) }

// Trainer trains a model. Set the fields, then call Run, or Step or Update as often as
// needed, from one goroutine. After the first call, the fields that affect what is trained
// or recorded must not change, and the model and the Drafter must keep their parameters and
// gates; otherwise calls return an error that names what changed. Steps, SaveEvery,
// KeepLast, Eval, EvalEvery, KeepBest, OnStep, Log and AllowDifferentPath may change at any
// time; Settings, Extra and Unclaimed may change before a call of Resume.
type Trainer struct {
	Model *model.Model // required
	// Drafter, unless nil, is trained together with the model: DefaultLoss adds its loss,
	// and its gates are balanced like those of the model. It must be a drafter of Model, so
	// that its parameters are among the model's.
	Drafter   model.Drafter
	Optimizer Optimizer // required
	Schedule  Schedule  // factor of the learning rates; nil means Constant(1)
	Steps     int       // number of optimizer steps of Run, including those before a resume; required by Run

	// Loss computes a micro-batch's share of the loss, of shape [1]; nil means DefaultLoss.
	// A custom loss should use Assemble, which adds the losses of the Drafter and of expert
	// balance. Batch.Weight is normalised over the global batch, so a sum weighted by it
	// does not depend on how the batch is split.
	Loss func(s *tensor.Scope, b model.Batch) tensor.Tensor

	MaxRows  int     // maximum rows of a micro-batch in Step, see model.MicroBatches; 0 means the whole batch
	ClipNorm float64 // maximum norm of the gradient; 0 means 1, as in V3; +Inf means no clipping
	// SkipNonFinite skips the update of a step whose loss or gradient is not finite, and
	// reports it as MetricSkipped. Otherwise such a step is an error.
	SkipNonFinite bool

	BalanceAlpha float64  // factor of the sequence-wise balance loss, see Assemble; 0 means none, V3 uses 1e-4
	BiasRate     Schedule // γ, the step size of the gates' selection biases; nil means 0.001, see V3BiasRate
	CenterBias   bool     // keep the sum of each gate's biases constant, as Moonlight does
	EMADecay     float64  // decay of a moving average of the parameters in checkpoints; 0 means no average

	// Dir is the folder for checkpoints and, with Run, metrics.jsonl; "" means no files. A
	// run continues from the newest complete checkpoint there. Checkpoints of a model with
	// adapters hold only what is trained, and a checksum of the rest; they can only be
	// resumed with the same base weights. The Trainer locks the folder from its first call
	// until Close, see run.Lock.
	Dir       string
	SaveEvery int // steps between checkpoints; 0 means only at the end of Run
	KeepLast  int // number of newest checkpoints to keep; 0 means all

	// Eval evaluates the model after every EvalEvery steps of a run. Its metrics are added
	// to those of the step; their names must differ. It must not change the model. If it
	// fails or is interrupted, a checkpoint is saved, and the resumed run begins with the
	// evaluation, in a separate line of metrics.jsonl. Set both fields or neither.
	EvalEvery int
	Eval      func(ctx context.Context, step int) (map[string]float64, error)
	// KeepBest is the name of a metric of Eval. The checkpoint with its greatest value, the
	// first if there are several, is kept in the folder best in Dir, in addition to those
	// that KeepLast keeps.
	KeepBest string

	// Unclaimed are further tensors for the file of weights, such as those that checkpoint.Load
	// left unclaimed, see checkpoint.Reader.Verbatim.
	Unclaimed []checkpoint.Tensor
	// Extra are further files of a checkpoint, for the caller's own state.
	Extra []ExtraFile

	Seed uint64 // recorded in checkpoints; random choices of losses and data should derive from it and the step
	// Settings is everything else that the result depends on, such as the parameters of
	// Loss. Checkpoints record its JSON, and a checkpoint with other Settings cannot be
	// resumed.
	Settings any
	// AllowDifferentPath permits resuming on another backend, kernel path or GOARCH, with
	// which results differ from there on.
	AllowDifferentPath bool

	OnStep func(Metrics) // called after each step of Run, unless nil
	// Log receives warnings (skipped updates, damaged checkpoints, repaired files, another
	// platform) and, at level info, resumes and checkpoints. If nil, warnings go to
	// standard error and the rest is dropped; to log nothing, use
	// slog.New(slog.DiscardHandler).
	Log *slog.Logger

	begun   constants // values of the fields when the run began
	started bool
	closed  bool
	failed  error // set if an update failed halfway
	step    int   // number of optimizer steps made
	saved   int   // step of the newest checkpoint
	// evaluated is the last step of a Loop that was evaluated.
	evaluated int
	best      *best // nil before the first
	tokens    int64 // tokens consumed by the steps made
	params    []*tensor.Param
	stored    []*tensor.Param // parameters in checkpoints and in the moving average, see storedParams
	base      string          // checksum of the other parameters, once computed
	gates     []layerGate
	scope     *tensor.Scope
	moments   *Moments
	ema       *average
	store     checkpoint.Store
	lock      *run.FolderLock // lock of Dir; nil without Dir
	metrics   *metricsFile    // the file opened last; nil if none was
	sums      []observed      // values of the current step
	after     []func() error  // functions for the current micro-batch
}

// layerGate is a gate, its layer, and its index among the gates of the layer.
type layerGate struct {
	*moe.Gate
	layer, place int
}

// StepCount returns the number of optimizer steps made, including those before a resume.
func (t *Trainer) StepCount() int { return t.step }

// Tokens returns the number of tokens consumed by the steps made.
func (t *Trainer) Tokens() int64 { return t.tokens }

// Run trains until Steps steps have been made. It starts from the newest complete
// checkpoint in Dir, if there is one, and saves a checkpoint at the end. It returns an
// error if more than Steps steps have been made already. If ctx is cancelled, it saves the
// present state and returns the cause.
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
		return fmt.Errorf("train: Trainer.Steps is %d, but %d steps have been made", t.Steps, t.step)
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

// start checks the fields and allocates what a run needs, at the first call. Later calls
// check that the fields have not changed.
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

// allGates returns the gates of the model and of the Drafter, once each even if blocks
// share them.
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

// Close releases the memory of optimizer state, averages and activations, and unlocks Dir.
// Later calls return an error. The model remains usable.
func (t *Trainer) Close() {
	t.closed = true
	if t.lock != nil {
		if err := t.lock.Close(); err != nil {
			t.Logger().Warn("closing the lock of the folder", "dir", t.Dir, "error", err)
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

// Logger returns Log or, if Log is nil, a logger of warnings to standard error. Code that
// uses a Trainer logs to it.
func (t *Trainer) Logger() *slog.Logger {
	if t.Log == nil {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return t.Log
}
