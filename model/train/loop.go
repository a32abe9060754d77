package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Loop is a run of steps that each make one or more updates. Trainer.Run is a loop of
// supervised steps, rl.GRPO.Run one of rollouts.
type Loop struct {
	Name  string     // name of the package that runs it, the prefix of errors
	Steps int        // number of steps, including those before a resume
	Made  func() int // returns the number of steps made
	// Step makes the next step.
	Step func(ctx context.Context) (Metrics, error)
	// Broken reports whether a step failed between two of its updates. The state then must
	// not be saved.
	Broken func() bool
	OnStep func(Metrics) // called after each step, unless nil
}

// Loop runs the steps of l. It writes metrics to metrics.jsonl, evaluates every EvalEvery
// steps, and saves a checkpoint every SaveEvery steps and at the end; both fields count
// steps of l. If ctx is cancelled, it saves the present state and returns the cause.
func (t *Trainer) Loop(ctx context.Context, l Loop) (err error) {
	if err := t.validateLoop(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	var file *metricsFile
	if t.Dir != "" {
		if file, err = t.openMetrics(l.Made()); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	tell := func(m Metrics) error {
		if file == nil {
			return nil
		}
		return file.Write(m)
	}
	if t.due(l.Made()) && t.evaluated != l.Made() { // the run was stopped between the step and its evaluation
		m := Metrics{Step: l.Made(), Values: map[string]float64{}}
		if err := t.evaluate(ctx, l, m); err != nil {
			return t.stopped(ctx, l, err)
		}
		if err := tell(m); err != nil {
			return err
		}
	}
	for l.Made() < l.Steps {
		if ctx.Err() != nil {
			return t.stopped(ctx, l, nil)
		}
		m, err := l.Step(ctx)
		if err != nil && ctx.Err() != nil && !l.Broken() {
			return t.stopped(ctx, l, nil)
		} else if err != nil {
			return err
		}
		var failure error
		if t.due(l.Made()) {
			failure = t.evaluate(ctx, l, m)
		}
		if err := tell(m); err != nil {
			return err
		}
		if l.OnStep != nil {
			l.OnStep(m)
		}
		if failure != nil {
			return t.stopped(ctx, l, failure)
		}
		if t.SaveEvery > 0 && l.Made()%t.SaveEvery == 0 {
			if err := t.Save(); err != nil {
				return err
			}
		}
	}
	return t.Save()
}

// due reports whether an evaluation follows the step.
func (t *Trainer) due(step int) bool { return t.Eval != nil && step > 0 && step%t.EvalEvery == 0 }

// evaluate adds an evaluation to the metrics of the last step, and saves the weights if
// they are the best so far. On error m is unchanged.
func (t *Trainer) evaluate(ctx context.Context, l Loop, m Metrics) error {
	began := time.Now()
	values, err := t.Eval(ctx, m.Step)
	if err != nil {
		return fmt.Errorf("%s: evaluation after step %d: %w", l.Name, m.Step, err)
	}
	for name := range values {
		if _, taken := m.Values[name]; taken || name == MetricStep || name == MetricStepTime {
			return fmt.Errorf("%s: evaluation after step %d: the step has a metric %s too", l.Name, m.Step, name)
		}
	}
	was := t.evaluated
	t.evaluated = m.Step
	if t.KeepBest != "" {
		v, ok := values[t.KeepBest]
		if !ok {
			err = fmt.Errorf("%s: evaluation after step %d: it has no metric %s, which is Trainer.KeepBest", l.Name, m.Step,
				t.KeepBest)
		} else {
			err = t.keepBest(best{t.KeepBest, v, m.Step})
		}
	}
	if err != nil {
		t.evaluated = was
		return err
	}
	maps.Copy(m.Values, values)
	t.Logger().Info("evaluated", "step", m.Step, "time", time.Since(began))
	return nil
}

// stopped saves a run that was cancelled or whose evaluation failed, and returns an error
// that wraps the reason and says where the run was saved. If saving fails, the error wraps
// the error of saving instead. If ctx is cancelled, the reason is its cause.
func (t *Trainer) stopped(ctx context.Context, l Loop, reason error) error {
	if ctx.Err() != nil {
		reason = context.Cause(ctx)
	}
	if err := t.Save(); err != nil {
		return fmt.Errorf("%s: stopped after step %d (%v), but not saved: %w", l.Name, l.Made(), reason, err)
	}
	switch {
	case t.Dir == "":
		return fmt.Errorf("%s: stopped after step %d, not saved because Dir is empty: %w", l.Name, l.Made(), reason)
	case t.step == 0:
		return fmt.Errorf("%s: stopped before the first step, with nothing to save: %w", l.Name, reason)
	}
	return fmt.Errorf("%s: stopped after step %d, saved in %s: %w", l.Name, l.Made(), t.Dir, reason)
}
