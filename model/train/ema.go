package train

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// average is an exponential moving average of parameters, on their device. It starts with
// their initial values, and after each step A ← A + (1−decay)·(W − A).
type average struct {
	decay   float64
	params  []*tensor.Param
	values  []*tensor.Param // averages, with the names of params
	scratch *tensor.Scope
}

func newAverage(decay float64, params []*tensor.Param) (*average, error) {
	a := &average{decay: decay, params: params, scratch: tensor.NewScope(params[0].Backend(), tensor.Options{})}
	for _, p := range params {
		q, err := tensor.NewParamFor(p.Backend(), backend.Optimizer, p.Name, p.Value().DType, p.Shape()...)
		if err == nil {
			a.values = append(a.values, q)
			err = p.Backend().Do(&backend.Copy{Dst: q.Value(), Src: p.Value()})
		}
		if err != nil {
			a.free()
			return nil, fmt.Errorf("train: moving average of %s: %w", p.Name, err)
		}
	}
	return a, nil
}

func (a *average) update() error {
	s := a.scratch
	for i, p := range a.params {
		v := a.values[i].Value()
		d := s.Empty(v.DType, p.Shape()...).View()
		s.Do(&backend.Binary{Y: d, A: p.Value(), B: v, Fn: backend.Sub})
		affine(s, d, d, 1-a.decay)
		add(s, v, v, d)
		err := s.Err()
		s.Reset()
		if err != nil {
			return fmt.Errorf("train: moving average of %s: %w", p.Name, err)
		}
	}
	return nil
}

func (a *average) free() {
	for _, q := range a.values {
		q.Free()
	}
	a.scratch.Close()
}

// EMA returns the moving average of the parameters that checkpoints hold, by the names of
// the parameters, to save it or to copy it to another model. It is nil without EMADecay and
// before the first step.
func (t *Trainer) EMA() []*tensor.Param {
	if t.ema == nil {
		return nil
	}
	return t.ema.values
}
