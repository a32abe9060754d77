package lora

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// Config says which matrices get adapters, and of what kind.
type Config struct {
	Rank  int     // r, 1 or more
	Alpha float64 // the product B·A is scaled by Alpha/Rank
	// RSLoRA scales by Alpha/√Rank (Kalajdzievski 2023).
	RSLoRA bool
	// Targets name projections by the end of their names, in whole components: "q_proj",
	// "shared_experts.up_proj", "layers.0.mlp.down_proj". [AllLinear] is all of them, but
	// neither routers nor routed experts. Each must match something.
	Targets []string
	// Layers are those that get adapters; nil means all.
	Layers []int
	// Seed keys the values of A; those of a matrix depend on it and on the matrix's name
	// alone.
	Seed uint64
}

// AllLinear is the target of all projections.
const AllLinear = "all-linear"

func (c Config) validate() error {
	switch {
	case c.Rank < 1:
		return fmt.Errorf("Config.Rank is %d, want 1 or more", c.Rank)
	case !(c.Alpha > 0) || c.Alpha > math.MaxFloat32:
		return fmt.Errorf("Config.Alpha is %g, want a finite number above 0", c.Alpha)
	case len(c.Targets) == 0:
		return fmt.Errorf("Config.Targets is empty: name projections, or %s", AllLinear)
	}
	return nil
}

// scale multiplies B·A.
func (c Config) scale() float64 {
	if c.RSLoRA {
		return c.Alpha / math.Sqrt(float64(c.Rank))
	}
	return c.Alpha / float64(c.Rank)
}

// Adapters are the adapters of a model. They are among its Params, as
// model.layers.<l>.self_attn.q_proj.lora_A.weight [r, in] and lora_B [out, r].
type Adapters struct {
	Config Config
	model  *model.Model
	list   []adapter
	merged bool
}

// adapter is that of one projection.
type adapter struct {
	name    string // of the projection
	linear  *tensor.Linear
	lowRank *tensor.LowRank
}

// Attach freezes all parameters of m, those of modules included, and adds adapters: A is
// uniform within ±1/√in, B zero, as PEFT has them, so that m computes what it did. The
// selection biases of gates are frozen with their routers.
//
// Adapters are attached once, before the Trainer's first step. An error of the device
// leaves a model that can only be freed, any other error leaves m as it was.
func Attach(m *model.Model, c Config) (*Adapters, error) {
	fail := func(err error) (*Adapters, error) { return nil, fmt.Errorf("lora: attach: %w", err) }
	if err := c.validate(); err != nil {
		return fail(err)
	}
	list, err := match(m, c)
	if err != nil {
		return fail(err)
	}
	a, err := attach(m, c, list)
	if err != nil {
		return fail(err)
	}
	for _, x := range a.list {
		if err := x.lowRank.A.SetFloats(kaiming(x.lowRank.A, c.Seed)); err != nil {
			return fail(err)
		}
	}
	return a, nil
}

// kaiming draws A: uniform within ±1/√in, the bound of Kaiming's rule for a slope of √5.
func kaiming(p *tensor.Param, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(model.DeriveSeed(seed, p.Name), 0))
	bound := 1 / math.Sqrt(float64(p.Shape()[1]))
	x := make([]float64, p.Len())
	for i := range x {
		x[i] = bound * (2*r.Float64() - 1)
	}
	return x
}

// attach adds adapters of zeros to the projections of list.
func attach(m *model.Model, c Config, list []adapter) (*Adapters, error) {
	if err := attachable(m, list); err != nil {
		return nil, err
	}
	for _, p := range m.Params.All() {
		p.Trainable = false
	}
	for i, x := range list {
		shape := x.linear.W.Shape()
		list[i].lowRank = &tensor.LowRank{
			A:     m.Params.Adapter(x.name+suffixA, c.Rank, shape[1]),
			B:     m.Params.Adapter(x.name+suffixB, shape[0], c.Rank),
			Scale: c.scale(),
		}
		x.linear.Adapter = list[i].lowRank
	}
	if err := m.Params.Err(); err != nil {
		return nil, err
	}
	return &Adapters{Config: c, model: m, list: list}, nil
}

// attachable reports why the projections of list cannot have adapters.
func attachable(m *model.Model, list []adapter) error {
	for _, p := range m.Params.All() {
		if p.Kind == tensor.KindAdapter {
			return fmt.Errorf("the model has adapters already, such as %s", p.Name)
		}
	}
	if m.Head.Packed() {
		return fmt.Errorf("%s is packed as %s, through which nothing trains: load the model with Options.Tables Native",
			m.Head.Name, m.Head.Format)
	}
	for _, x := range list {
		w := x.linear.W
		switch {
		case m.Absorbed() && component(x.name) == "kv_b_proj":
			return fmt.Errorf("%s: the absorbed form of MLA takes it apart: leave it out, or make the model without "+
				"Options.Absorbed", x.name)
		case w.Format.ForwardOnly && !w.Packed():
			return fmt.Errorf("%s: format %s trains adapters only if the model is made with Options.Packed", x.name, w.Format)
		}
	}
	return nil
}

// Names are the projections that have adapters, in the model's order.
func (a *Adapters) Names() []string {
	var names []string
	for _, x := range a.list {
		names = append(names, x.name)
	}
	return names
}

// Params are the matrices A and B in the model's order.
func (a *Adapters) Params() []*tensor.Param {
	var all []*tensor.Param
	for _, x := range a.list {
		all = append(all, x.lowRank.A, x.lowRank.B)
	}
	return all
}

// Merge adds scale·B·A to the weights, so that the model computes the same, but for
// rounding, in the time of the base model, and [model.Save] writes it without adapters.
// Until Unmerge, the adapters do not train. Packed weights cannot be merged: load the model
// again without Options.Packed, then its adapters. After an error of the device some weights
// are merged and others are not.
func (a *Adapters) Merge() error {
	if a.merged {
		return errors.New("lora: merge: the adapters are merged already")
	}
	for _, x := range a.list {
		if w := x.linear.W; w.Packed() {
			return fmt.Errorf("lora: merge: %s is packed as %s: merge into a model without Options.Packed", w.Name, w.Format)
		}
	}
	if err := a.add(tensor.Add); err != nil {
		return fmt.Errorf("lora: merge: %w", err)
	}
	a.setMerged(true)
	return nil
}

// Unmerge subtracts what Merge has added: the weights are those of before but for
// rounding.
func (a *Adapters) Unmerge() error {
	if !a.merged {
		return errors.New("lora: unmerge: the adapters are not merged")
	}
	if err := a.add(tensor.Sub); err != nil {
		return fmt.Errorf("lora: unmerge: %w", err)
	}
	a.setMerged(false)
	return nil
}

func (a *Adapters) setMerged(merged bool) {
	a.merged = merged
	for _, x := range a.list {
		x.linear.Adapter = nil
		if !merged {
			x.linear.Adapter = x.lowRank
		}
		x.lowRank.A.Trainable, x.lowRank.B.Trainable = !merged, !merged
	}
}

// add sets each W to fn(W, scale·B·A).
func (a *Adapters) add(fn func(w, delta tensor.Tensor) tensor.Tensor) error {
	s := tensor.NewScope(a.model.Backend(), tensor.Options{})
	defer s.Close()
	for _, x := range a.list {
		l, w := x.lowRank, x.linear.W
		delta := tensor.Scale(tensor.MatMul(l.B.In(s), l.A.In(s)), l.Scale)
		if err := w.Assign(fn(s.Constant(w.Value()), delta)); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		s.Reset()
	}
	return nil
}

// find is the index of a projection in list, or -1.
func find(list []adapter, name string) int {
	return slices.IndexFunc(list, func(x adapter) bool { return x.name == name })
}
