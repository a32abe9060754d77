package train

import (
	"errors"
	"fmt"
	"math"
)

// validate returns an error for every invalid field.
func (t *Trainer) validate() error {
	errs := []error{
		t.Optimizer.Validate(), t.validateLoop(), count("Trainer.MaxRows", t.MaxRows),
		notNegative("Trainer.BalanceAlpha", t.BalanceAlpha), fraction("Trainer.EMADecay", t.EMADecay),
	}
	if t.ClipNorm < 0 || math.IsNaN(t.ClipNorm) {
		errs = append(errs, fmt.Errorf("Trainer.ClipNorm is %g, want 0 or more, or +Inf", t.ClipNorm))
	}
	if t.Drafter != nil {
		errs = append(errs, t.ownDrafter(), t.Drafter.Advance(t.tokens))
	}
	return errors.Join(errs...)
}

// validateLoop is validate for the fields that may change between two loops.
func (t *Trainer) validateLoop() error {
	err := errors.Join(
		count("Trainer.Steps", t.Steps), count("Trainer.SaveEvery", t.SaveEvery), count("Trainer.KeepLast", t.KeepLast),
		count("Trainer.EvalEvery", t.EvalEvery),
	)
	switch {
	case t.EvalEvery > 0 && t.Eval == nil:
		err = errors.Join(err, fmt.Errorf("Trainer.EvalEvery is %d and Trainer.Eval is nil", t.EvalEvery))
	case t.EvalEvery == 0 && t.Eval != nil:
		err = errors.Join(err, errors.New("Trainer.Eval is set and Trainer.EvalEvery is 0: it would never be called"))
	case t.KeepBest != "" && (t.Eval == nil || t.Dir == ""):
		err = errors.Join(err, fmt.Errorf("Trainer.KeepBest is %q without Trainer.Eval and Trainer.Dir", t.KeepBest))
	}
	return err
}

// ownDrafter checks that the Drafter's parameters are the model's: others would get
// gradients but never be updated.
func (t *Trainer) ownDrafter() error {
	for _, p := range t.Drafter.Params() {
		if t.Model.Params.Get(p.Name) != p {
			return fmt.Errorf("Trainer.Drafter is not of Trainer.Model: its parameter %s is not among the model's", p.Name)
		}
	}
	return nil
}

// rates are the values of the schedules for the next update.
type rates struct{ factor, biasRate float64 }

// next calls the schedules, including the Drafter's, and returns an error for invalid
// values.
func (t *Trainer) next() (rates, error) {
	if t.Drafter != nil {
		if err := t.Drafter.Advance(t.tokens); err != nil {
			return rates{}, err
		}
	}
	r := rates{t.Schedule.at(t.step, t.tokens, 1), t.BiasRate.at(t.step, t.tokens, defaultBiasRate)}
	at := fmt.Sprintf("(%d, %d)", t.step, t.tokens)
	err := errors.Join(notNegative("Trainer.Schedule"+at, r.factor), notNegative("Trainer.BiasRate"+at, r.biasRate))
	if lr := r.factor * t.Optimizer.LearningRate(); err == nil && !finite(lr) {
		err = fmt.Errorf("Trainer.Schedule%s is %g, the learning rate %g: want a finite product", at, r.factor,
			t.Optimizer.LearningRate())
	}
	return r, err
}

func positive(name string, v float64) error {
	if !(v > 0) || !finite(v) {
		return fmt.Errorf("%s is %g, want a finite number above 0", name, v)
	}
	return nil
}

func notNegative(name string, v float64) error {
	if !(v >= 0) || !finite(v) {
		return fmt.Errorf("%s is %g, want a finite number, 0 or more", name, v)
	}
	return nil
}

// divisor is notNegative for a number that keeps a denominator from being 0.
func divisor(name string, v float64) error {
	if v > 0 && float32(v) == 0 {
		return fmt.Errorf("%s is %g, want a number that float32 does not round to 0, or 0 for the default", name, v)
	}
	return notNegative(name, v)
}

// finite reports whether v is finite as a float32, the type that kernels compute with.
func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat32 }

func fraction(name string, v float64) error {
	if !(v >= 0 && v < 1) {
		return fmt.Errorf("%s is %g, want 0 or more and less than 1", name, v)
	}
	return nil
}

func count(name string, n int) error {
	if n < 0 {
		return fmt.Errorf("%s is %d, want 0 or more", name, n)
	}
	return nil
}
