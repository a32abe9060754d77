package rl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// Solution is a prompt and a completion of it, as token ids.
type Solution struct {
	Prompt, Completion []int32
	// Steps are the labels of the completion's steps, in order. Only ProcessTraining
	// reads them.
	Steps []StepLabel
}

// StepLabel says whether a step of a completion is right.
type StepLabel struct {
	Token int // index of the completion token that ends the step
	Right bool
}

// reading is a sequence and the rows whose hidden states the classifier's head maps.
type reading struct {
	seq model.Sequence
	at  []int
}

// newReading returns a reading of the completion tokens of x with the given indices. A
// sequence has a row for each token but the last, so newReading appends one more token,
// which nothing reads.
func newReading(x Solution, tokens ...int) reading {
	ids := slices.Concat(x.Prompt, x.Completion, x.Completion[len(x.Completion)-1:])
	r := reading{seq: model.Sequence{IDs: ids, Weight: make([]float32, len(ids)-1)}}
	for _, t := range tokens {
		r.at = append(r.at, len(x.Prompt)+t)
	}
	return r
}

// classifier is a model whose head maps the hidden states of single tokens to n numbers.
type classifier struct {
	model *model.Model
	head  *tensor.Param // [n, D]
	bias  *tensor.Param // [n]; nil for none
	rows  int           // maximum number of rows of a micro-batch; 0 means no limit
}

// batch packs the sequences of rs. sequences is their number in the global batch.
func (c classifier) batch(s *tensor.Scope, rs []reading, sequences int) model.Batch {
	seqs := make([]model.Sequence, len(rs))
	for i, r := range rs {
		seqs[i] = r.seq
	}
	return c.model.NewBatch(s, seqs, model.Global{Weight: 1, Sequences: sequences})
}

// read returns the head's output [k, n] for the k rows of rs. out is the model's output
// for their batch.
func (c classifier) read(out model.Output, rs []reading) tensor.Tensor {
	var rows []int32
	base := 0
	for _, r := range rs {
		for _, at := range r.at {
			rows = append(rows, int32(base+at))
		}
		base += r.seq.Rows()
	}
	s := out.Hidden.Scope()
	y := tensor.Logits(tensor.GatherRows(out.Hidden, s.Ints(rows, len(rows))), c.head)
	if c.bias != nil {
		y = tensor.Add(y, c.bias.In(s))
	}
	return y
}

// outputs returns the head's outputs for each of rs, without gradients: n numbers for
// each of its rows, one row after the other.
func (c classifier) outputs(ctx context.Context, rs []reading) ([][]float64, error) {
	s := tensor.NewScope(c.model.Backend(), tensor.Options{})
	defer s.Close()
	n, from := c.head.Shape()[0], 0
	var all [][]float64
	for _, end := range splitPairs(len(rs), c.rows, func(i int) int { return rs[i].seq.Rows() }) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		micro := rs[from:end]
		from = end
		if !slices.ContainsFunc(micro, func(r reading) bool { return len(r.at) > 0 }) {
			all = append(all, make([][]float64, len(micro))...)
			continue
		}
		s.Reset()
		values, err := c.read(c.model.Forward(s, c.batch(s, micro, len(rs))), micro).Values()
		if err != nil {
			return nil, err
		}
		for _, r := range micro {
			k := n * len(r.at)
			if j := slices.IndexFunc(values[:k], func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }); j >= 0 {
				return nil, fmt.Errorf("solution %d: %s gives %g", len(all), c.head.Name, values[j])
			}
			all, values = append(all, values[:k]), values[k:]
		}
	}
	return all, nil
}

// check reports why the model cannot read x.
func (c classifier) check(x Solution) error {
	cfg := c.model.Config
	for _, part := range []struct {
		name string
		ids  []int32
	}{{"Prompt", x.Prompt}, {"Completion", x.Completion}} {
		if len(part.ids) == 0 {
			return fmt.Errorf("%s is empty", part.name)
		}
		for i, id := range part.ids {
			if id < 0 || int(id) >= cfg.VocabSize {
				return fmt.Errorf("%s: token %d is %d, vocab_size of the reward model is %d", part.name, i, id, cfg.VocabSize)
			}
		}
	}
	if n := len(x.Prompt) + len(x.Completion); n > cfg.MaxPositionEmbeddings {
		return fmt.Errorf("it has %d tokens, max_position_embeddings of the reward model is %d", n,
			cfg.MaxPositionEmbeddings)
	}
	return nil
}

// validate reports an error unless head and bias are parameters of the model with n
// outputs.
func (c classifier) validate(n int) error {
	switch {
	case c.model == nil:
		return errors.New("Model is nil")
	case c.head == nil:
		return errors.New("Head is nil")
	case c.model.Params.Get(c.head.Name) != c.head:
		return fmt.Errorf("Head, %s, is not among the parameters of Model", c.head.Name)
	case !slices.Equal(c.head.Shape(), []int{n, c.model.Config.HiddenSize}):
		return fmt.Errorf("Head, %s, is %v, want [%d %d]", c.head.Name, c.head.Shape(), n, c.model.Config.HiddenSize)
	case c.bias != nil && c.model.Params.Get(c.bias.Name) != c.bias:
		return fmt.Errorf("Bias, %s, is not among the parameters of Model", c.bias.Name)
	case c.bias != nil && !slices.Equal(c.bias.Shape(), []int{n}):
		return fmt.Errorf("Bias, %s, is %v, want [%d]", c.bias.Name, c.bias.Shape(), n)
	}
	return count("MaxRows", c.rows)
}

// loadClassifier loads a model whose classifier head is made by add. Classifier
// checkpoints of transformers lack lm_head.weight: the model is then loaded with tied
// embeddings, whose logits nothing reads.
func loadClassifier(
	b backend.Backend, path string, o model.LoadOptions, add func(m *model.Model) error,
) (*model.Model, *model.Source, error) {
	if o.Config == nil {
		c, err := model.LoadConfig(path)
		if err != nil {
			return nil, nil, err
		}
		o.Config = &c
	}
	if !o.Config.TieWordEmbeddings {
		r, err := checkpoint.OpenWith(path, checkpoint.OpenOptions{FollowLinks: o.FollowLinks})
		if err != nil {
			return nil, nil, err
		}
		_, has := r.Find("lm_head.weight")
		if err := r.Close(); err != nil {
			return nil, nil, err
		}
		if !has {
			c := *o.Config
			c.TieWordEmbeddings = true
			o.Config = &c
		}
	}
	own := o.Modules
	o.Modules = func(m *model.Model) error {
		if own != nil {
			if err := own(m); err != nil {
				return err
			}
		}
		return add(m)
	}
	return model.Load(b, path, o)
}

// save calls model.Save with id2label and label2id in config.json, from which
// transformers reads the number of labels.
func (c classifier) save(dir string, o model.SaveOptions) error {
	m := *c.model
	m.Config.Extra = maps.Clone(m.Config.Extra)
	if m.Config.Extra == nil {
		m.Config.Extra = map[string]json.RawMessage{}
	}
	labels, ids := map[string]string{}, map[string]int{}
	for i := range c.head.Shape()[0] {
		label := fmt.Sprintf("LABEL_%d", i)
		labels[fmt.Sprint(i)], ids[label] = label, i
	}
	for key, v := range map[string]any{"id2label": labels, "label2id": ids} {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		m.Config.Extra[key] = text
	}
	return model.Save(dir, &m, o)
}
