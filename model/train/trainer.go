// Package train runs the optimization of a model: optimizers, schedules,
// clipping, micro-batches, the bias update of auxiliary-loss-free balance,
// metrics, and checkpoints from which a run goes on bit for bit.
//
// [Trainer.Run] is a whole supervised run. [Trainer.Step] is one step of it, and
// [Trainer.Update] one optimizer step on any loss, which is what reinforcement
// learning and distillation build on.
package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
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
// as often as needed, from one goroutine; the fields must not change between.
type Trainer struct {
	Model *model.Model // required
	// Drafter's loss is added by DefaultLoss; nil means none. If it has gates
	// (mtp.MTP does), their balance is looked after too.
	Drafter   model.Drafter
	Optimizer Optimizer // required
	Schedule  Schedule  // multiplies the learning rates; nil means Constant(1)
	Steps     int       // optimizer steps of Run, those before a resume included; required there

	// Loss computes a micro-batch's share of the loss, of shape [1]; nil means
	// DefaultLoss. Batch.Weight is normalised over the global batch, so a sum
	// weighted by it does not depend on how the batch was split.
	Loss func(s *tensor.Scope, b model.Batch) tensor.Tensor

	MaxRows  int     // rows of a micro-batch of Step, see model.MicroBatches; 0 means the whole batch
	ClipNorm float64 // largest norm of the gradient; 0 means 1, as V3 has it; +Inf means no clipping
	// SkipNonFinite leaves out the update of a step whose loss or gradient is not
	// finite, and reports it as MetricSkipped. Otherwise it is an error.
	SkipNonFinite bool

	BalanceAlpha float64  // factor of the sequence-wise balance loss of DefaultLoss; 0 leaves it out, V3 uses 1e-4
	BiasRate     Schedule // γ, the step of the gates' selection biases; nil means 0.001, see V3BiasRate
	CenterBias   bool     // keeps the sum of each gate's biases constant, as Moonlight does
	EMADecay     float64  // keeps an exponential moving average of all parameters; 0 means none

	// Dir receives checkpoints and, from Run, metrics.jsonl; "" means no files.
	// A run continues from the newest complete checkpoint there.
	Dir       string
	SaveEvery int // steps between checkpoints; 0 means only when Run ends
	KeepLast  int // newest checkpoints to keep; 0 means all
	// Keep are further tensors for the weights' file: what checkpoint.Load left
	// unclaimed, see checkpoint.Reader.Keep.
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

	OnStep func(Metrics) // called after each step of Run; nil means not
	Log    *slog.Logger  // hears of resumes, checkpoints and skipped steps; nil means silence

	started bool
	closed  bool
	failed  error // set when an update broke off halfway
	step    int   // optimizer steps made
	saved   int   // step of the newest checkpoint
	tokens  int64 // consumed by them
	params  []*tensor.Param
	gates   []layerGate
	scope   *tensor.Scope
	moments *Moments
	ema     *average
	store   checkpoint.Store
	sums    []observed     // of the running step
	after   []func() error // of the running micro-batch
}

// layerGate is a gate and the layer it is in.
type layerGate struct {
	*moe.Gate
	layer int
}

// scheduled is a Drafter whose loss changes with the tokens consumed, and whose
// settings a resumed run must share; mtp.MTP is one.
type scheduled interface {
	Advance(tokens int64)
	Settings() any
}

// gated is a Drafter that has mixture-of-experts layers.
type gated interface {
	Gates() (gates []*moe.Gate, layers []int)
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
func (t *Trainer) Run(ctx context.Context, data Data) (err error) {
	if t.Steps <= 0 {
		return fmt.Errorf("train: Trainer.Steps is %d", t.Steps)
	}
	if t.step == 0 {
		if _, err := t.resume(t.Steps); err != nil {
			return err
		}
	}
	if t.step > t.Steps {
		return fmt.Errorf("train: Trainer.Steps is %d, %d are made", t.Steps, t.step)
	}
	var file *MetricsFile
	if t.Dir != "" {
		if err := os.MkdirAll(t.Dir, 0o777); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if file, err = OpenMetricsFile(filepath.Join(t.Dir, "metrics.jsonl"), t.step); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	for t.step < t.Steps {
		if ctx.Err() != nil {
			return t.stop(ctx)
		}
		seqs, err := data.Batch(t.step)
		if err != nil {
			return fmt.Errorf("train: data of step %d: %w", t.step+1, err)
		}
		m, err := t.Step(ctx, seqs)
		if err != nil && ctx.Err() != nil && t.failed == nil {
			return t.stop(ctx)
		} else if err != nil {
			return err
		}
		if file != nil {
			if err := file.Write(m); err != nil {
				return err
			}
		}
		if t.OnStep != nil {
			t.OnStep(m)
		}
		if t.SaveEvery > 0 && t.step%t.SaveEvery == 0 {
			if err := t.Save(); err != nil {
				return err
			}
		}
	}
	return t.Save()
}

// stop ends a cancelled run.
func (t *Trainer) stop(ctx context.Context) error {
	return errors.Join(fmt.Errorf("train: stopped after step %d: %w", t.step, context.Cause(ctx)), t.Save())
}

// start checks the fields and allocates what a run needs, once.
func (t *Trainer) start() error {
	if t.started {
		return nil
	}
	switch {
	case t.closed:
		return errors.New("train: the Trainer is closed")
	case t.Model == nil:
		return errors.New("train: Trainer.Model is nil")
	case t.Optimizer == nil:
		return errors.New("train: Trainer.Optimizer is nil")
	case !(t.Optimizer.LearningRate() > 0):
		return fmt.Errorf("train: the optimizer's learning rate is %g", t.Optimizer.LearningRate())
	case t.ClipNorm < 0 || math.IsNaN(t.ClipNorm):
		return fmt.Errorf("train: Trainer.ClipNorm is %g", t.ClipNorm)
	case t.EMADecay < 0 || t.EMADecay >= 1:
		return fmt.Errorf("train: Trainer.EMADecay is %g, want 0 or more and less than 1", t.EMADecay)
	}
	t.params = t.Model.Params.All()
	t.store.Dir = t.Dir
	t.gates = nil
	t.addGates(t.Model.Gates())
	if d, ok := t.Drafter.(gated); ok {
		t.addGates(d.Gates())
	}
	moments, err := NewMoments(t.Optimizer, t.params)
	if err != nil {
		return err
	}
	if t.EMADecay > 0 {
		if t.ema, err = newAverage(t.EMADecay, t.params); err != nil {
			moments.Free()
			return err
		}
	}
	t.moments = moments
	t.scope = tensor.NewScope(t.Model.Backend(), tensor.Options{Grad: true})
	t.started = true
	return nil
}

func (t *Trainer) addGates(gates []*moe.Gate, layers []int) {
	for i, g := range gates {
		t.gates = append(t.gates, layerGate{g, layers[i]})
	}
}

// Close gives back the memory of optimizer state, averages and activations, and
// ends the Trainer: what is called later fails. The model stays the caller's.
func (t *Trainer) Close() {
	t.closed = true
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

func (t *Trainer) log() *slog.Logger {
	if t.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Log
}
