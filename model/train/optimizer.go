package train

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Optimizer is an update rule: AdamW or Muon. It is plain configuration that encoding/json
// can write, so that checkpoints can record it; its state is in a Moments.
type Optimizer interface {
	// Validate returns an error that names each invalid setting. It is called at the
	// beginning of a run.
	Validate() error
	// LearningRate returns the peak learning rate, which a Schedule multiplies.
	LearningRate() float64
	// Moments returns the state tensors of one parameter.
	Moments(p *tensor.Param) []Moment
	// Update queues one step of p with its gradient g. m are the moments in the order of
	// Moments. at [3] F64 has the step, the factor of the learning rates and the scale of
	// the gradient, see At; since it is a buffer, a recorded step reads new values each
	// time. Temporaries come from s.
	Update(s *tensor.Scope, p *tensor.Param, g backend.View, m []backend.View, at backend.View)
}

// Moment is optimizer state with the shape of a parameter, initially zero.
type Moment struct {
	Name  string // suffix of the parameter's name in checkpoints, as in PyTorch: "exp_avg"
	DType backend.DType
}

// At describes the step to make.
type At struct {
	Step      int     // 1 for the first
	Factor    float64 // factor of the learning rates: the Schedule's value
	GradScale float64 // factor of the gradients: below 1 if the norm is clipped
}

// Moments is the state of an optimizer for a list of parameters.
type Moments struct {
	opt     Optimizer
	params  []*tensor.Param // the trainable ones
	moments [][]*tensor.Param
	at      *tensor.Param // [3]: the At of the current step; nil without params
	scratch *tensor.Scope
}

// NewMoments allocates zero moments for the trainable ones of params. If parameters are
// frozen or unfrozen later, a new Moments is needed. NewMoments returns an error if opt is
// not valid.
func NewMoments(opt Optimizer, params []*tensor.Param) (*Moments, error) {
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	ms := &Moments{opt: opt}
	for _, p := range params {
		if !p.Trainable {
			continue
		}
		var list []*tensor.Param
		for _, m := range opt.Moments(p) {
			q, err := tensor.NewParamFor(p.Backend(), backend.Optimizer, p.Name+"."+m.Name, m.DType, p.Shape()...)
			if err != nil {
				ms.Free()
				return nil, err
			}
			list = append(list, q)
		}
		ms.params = append(ms.params, p)
		ms.moments = append(ms.moments, list)
	}
	if len(ms.params) > 0 {
		at, err := tensor.NewParamFor(ms.params[0].Backend(), backend.Optimizer, "the step", backend.F64, 3)
		if err != nil {
			ms.Free()
			return nil, err
		}
		ms.at = at
		ms.scratch = tensor.NewScope(ms.params[0].Backend(), tensor.Options{})
	}
	return ms, nil
}

// Params returns the moments by the names that they have in checkpoints: the parameter's
// name followed by that of the moment.
func (ms *Moments) Params() []*tensor.Param {
	var all []*tensor.Param
	for _, list := range ms.moments {
		all = append(all, list...)
	}
	return all
}

// Step updates all parameters. A parameter without a gradient is updated as if its gradient
// were zero, so that the result does not depend on whether a gradient was allocated. After
// an error, only some of the parameters have been updated.
func (ms *Moments) Step(at At) error {
	if len(ms.params) == 0 {
		return nil
	}
	if at.Step < 1 {
		return fmt.Errorf("train: At.Step is %d, want 1 or more", at.Step)
	}
	if err := ms.at.SetFloats([]float64{float64(at.Step), at.Factor, at.GradScale}); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	for i, p := range ms.params {
		if !p.Trainable {
			return fmt.Errorf("train: %s was trainable when its moments were made and is frozen now", p.Name)
		}
		g, err := p.Grad()
		if err != nil {
			return err
		}
		views := make([]backend.View, len(ms.moments[i]))
		for j, m := range ms.moments[i] {
			views[j] = m.Value()
		}
		ms.opt.Update(ms.scratch, p, g, views, ms.at.Value())
		err = ms.scratch.Err()
		ms.scratch.Reset()
		if err != nil {
			return fmt.Errorf("train: update of %s: %w", p.Name, err)
		}
		p.Touch()
	}
	return nil
}

// GradNorm returns the Euclidean norm of all gradients together. If it is not finite, bad
// is the first parameter at fault, in order of creation.
//
// The sum of squares of each tensor is computed on the device in its dtype; their sum is
// computed in float64 in the order of the parameters.
func (ms *Moments) GradNorm() (norm float64, bad *tensor.Param, err error) {
	if len(ms.params) == 0 {
		return 0, nil, nil
	}
	s := ms.scratch
	defer s.Reset()
	squares := s.Empty(ms.params[0].Value().DType, len(ms.params))
	for i, p := range ms.params {
		g, err := p.Grad()
		if err != nil {
			return 0, nil, err
		}
		if s.Err() == nil {
			s.Do(&backend.Reduce{Y: squares.View().Slice(0, i, i+1), X: g.Reshape(1, g.Len()), Fn: backend.SumSquares})
		}
	}
	values, err := squares.Values()
	if err != nil {
		return 0, nil, fmt.Errorf("train: gradient norm: %w", err)
	}
	sum := 0.0
	for i, v := range values {
		if bad == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
			bad = ms.params[i]
		}
		sum += v
	}
	return math.Sqrt(sum), bad, nil
}

// Free releases the memory of the moments.
func (ms *Moments) Free() {
	for _, m := range ms.Params() {
		m.Free()
	}
	if ms.at != nil {
		ms.at.Free()
	}
	if ms.scratch != nil {
		ms.scratch.Close()
	}
}

// clipScale returns the factor that reduces a gradient of the given norm to at most limit.
func clipScale(norm, limit float64) float64 {
	if norm > limit {
		return limit / norm
	}
	return 1
}
