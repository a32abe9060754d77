package rl

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
)

// referenceFile holds the weights of a reference model in a checkpoint.
const referenceFile = "reference.safetensors"

// reference is the model that a policy is held against: the policy as it was when the
// run began. Where only adapters train, it is the policy without them; otherwise it is
// a copy, which sync may renew.
type reference struct {
	policy *model.Model
	copied *model.Model // nil where it is the policy without its adapters
}

// newReference makes the reference model of t's model as it is, without its adapters.
func newReference(t *train.Trainer) (*reference, error) {
	r := &reference{policy: t.Model}
	if onlyAdaptersTrain(t) {
		return r, nil
	}
	m := t.Model
	ref, err := model.NewWith(m.Backend(), m.Config, 0, m.Options)
	if err == nil {
		if err = ref.Params.CopyFrom(m.Params); err == nil {
			r.copied = ref
			return r, nil
		}
		ref.Free()
	}
	return nil, fmt.Errorf("rl: reference model: %w", err)
}

// onlyAdaptersTrain reports whether t's model has adapters and nothing else trains but
// for the Drafter and a value head, which take no part in the model's forward.
func onlyAdaptersTrain(t *train.Trainer) bool {
	var drafter []*tensor.Param
	if t.Drafter != nil {
		drafter = t.Drafter.Params()
	}
	adapted := false
	for _, l := range t.Model.Linears() {
		adapted = adapted || l.Adapter != nil
	}
	return adapted && !slices.ContainsFunc(t.Model.Params.All(), func(p *tensor.Param) bool {
		return p.Trainable && !isAdapter(p) && p.Kind != tensor.KindScore && !slices.Contains(drafter, p)
	})
}

// logProbs scores the completions of xs, without gradients.
func (r *reference) logProbs(xs []experience, rows int, temperature float64) (all [][]float64, err error) {
	score := func(m *model.Model) (err error) {
		all, err = logProbs(m, xs, rows, temperature)
		return err
	}
	if r.copied != nil {
		err = score(r.copied)
	} else {
		err = r.policy.WithoutAdapters(func() error { return score(r.policy) })
	}
	if err != nil {
		return nil, fmt.Errorf("rl: reference log-probabilities: %w", err)
	}
	return all, nil
}

// sync moves a copy to the policy: to (1−mix)·reference + mix·policy, or all the way
// for a mix of 0 or 1.
func (r *reference) sync(mix float64) error {
	var err error
	if mix = cmp.Or(mix, 1); mix == 1 {
		err = r.copied.Params.CopyFrom(r.policy.Params)
	} else {
		err = r.blend(mix)
	}
	if err != nil {
		return fmt.Errorf("rl: reference model: %w", err)
	}
	return nil
}

func (r *reference) blend(mix float64) error {
	s := tensor.NewScope(r.policy.Backend(), tensor.Options{})
	defer s.Close()
	for _, p := range r.copied.Params.All() {
		was, now := s.Constant(p.Value()), s.Constant(r.policy.Params.Get(p.Name).Value())
		if err := p.Assign(tensor.Add(tensor.Scale(was, 1-mix), tensor.Scale(now, mix))); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		s.Reset()
	}
	return nil
}

// files are those of the reference model in a checkpoint: its weights, where it is a
// copy. What a checkpoint has of a policy without its adapters, which an older version
// copied, is the base model that the run has, and is not read.
func (r *reference) files() []train.ExtraFile {
	if r.copied == nil {
		return nil
	}
	return []train.ExtraFile{{
		Name: referenceFile,
		Write: func(w io.Writer) error {
			return checkpoint.Write(w, checkpoint.Tensors(r.copied.Params.All()), nil)
		},
		Read: func(path string) error {
			_, err := checkpoint.Load(path, r.copied.Params.All())
			return err
		},
	}}
}

// free gives back the memory of a copy.
func (r *reference) free() {
	if r != nil && r.copied != nil {
		r.copied.Free()
		r.copied = nil
	}
}
