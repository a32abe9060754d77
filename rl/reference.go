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

// reference is the reference model of a policy: the policy at the start of the run. If only
// adapters are trained, it is the policy without them; otherwise it is a copy, which sync
// may update.
type reference struct {
	policy *model.Model
	copied *model.Model // nil if the reference model is the policy without its adapters
}

// newReference makes the reference model from the current weights of t's model, without
// its adapters.
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

// onlyAdaptersTrain reports whether t's model has adapters and they are its only trainable
// parameters. It ignores the Drafter and a value head, which do not affect logits.
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

// logProbs returns the log-probabilities of the completion tokens of xs, without gradients.
func (r *reference) logProbs(xs []trainSample, rows int, temperature float64) (all [][]float64, err error) {
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

// sync updates a copied reference model to (1−mix)·reference + mix·policy. A mix of 0 means
// 1, the policy's weights.
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

// files returns the files of the reference model in a checkpoint: its weights, if it is a
// copy. Older versions also copied a policy without its adapters; a file of theirs holds the
// base model and is not read.
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

// free frees a copied model.
func (r *reference) free() {
	if r != nil && r.copied != nil {
		r.copied.Free()
		r.copied = nil
	}
}
