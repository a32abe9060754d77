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

// Config describes the adapters and the matrices that get them.
type Config struct {
	Rank  int     // r, 1 or more
	Alpha float64 // B·A is multiplied by Alpha/Rank
	// RSLoRA multiplies B·A by Alpha/√Rank instead (Kalajdzievski 2023).
	RSLoRA bool
	// Targets selects projections by the end of their names, in whole components: "q_proj",
	// "shared_experts.up_proj", "layers.0.mlp.down_proj". [AllLinear] selects all projections,
	// which do not include routers and routed experts. A target without a match is an error.
	Targets []string
	// Layers are the layers that get adapters; nil means all.
	Layers []int
	// Seed determines the initial values of A. Those of a matrix depend only on Seed and on
	// the matrix's name.
	Seed uint64
}

// AllLinear is the target that selects all projections.
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

// scale returns the factor of B·A.
func (c Config) scale() float64 {
	if c.RSLoRA {
		return c.Alpha / math.Sqrt(float64(c.Rank))
	}
	return c.Alpha / float64(c.Rank)
}

// Adapters are the adapters of a model. Their matrices are among its Params, named like
// model.layers.<l>.self_attn.q_proj.lora_A.weight [r, in] and lora_B [out, r].
type Adapters struct {
	Config Config
	model  *model.Model
	list   []adapter
	merged bool
}

// adapter is the adapter of one projection.
type adapter struct {
	name    string // name of the projection
	linear  *tensor.Linear
	lowRank *tensor.LowRank
}

// Attach freezes all parameters of m, including those of modules, and adds adapters. As in
// PEFT, A is uniform within ±1/√in and B is zero, so that the model's results do not change
// at first. The selection biases of gates are frozen with their routers.
//
// Adapters are attached once, before the Trainer's first step. After an error of the
// device, the model can only be freed; any other error leaves m unchanged.
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

// kaiming returns initial values of A: uniform within ±1/√in, which is the bound of Kaiming
// initialization for a slope of √5.
func kaiming(p *tensor.Param, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(model.DeriveSeed(seed, p.Name), 0))
	bound := 1 / math.Sqrt(float64(p.Shape()[1]))
	x := make([]float64, p.Len())
	for i := range x {
		x[i] = bound * (2*r.Float64() - 1)
	}
	return x
}

// attach adds adapters with zero values to the projections of list.
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

// attachable returns an error if the projections of list cannot have adapters.
func attachable(m *model.Model, list []adapter) error {
	for _, p := range m.Params.All() {
		if p.Kind == tensor.KindAdapter {
			return fmt.Errorf("the model has adapters already, such as %s", p.Name)
		}
	}
	if m.Head.Packed() {
		return fmt.Errorf("%s is packed as %s, which has no backward pass: load the model with Options.Tables Native",
			m.Head.Name, m.Head.Format)
	}
	for _, x := range list {
		w := x.linear.W
		switch {
		case m.Absorbed() && component(x.name) == "kv_b_proj":
			return fmt.Errorf("%s: the absorbed form of MLA supports no adapter on it: leave it out, or make the model without "+
				"Options.Absorbed", x.name)
		case w.Format.ForwardOnly && !w.Packed():
			return fmt.Errorf("%s: format %s trains adapters only if the model is made with Options.Packed", x.name, w.Format)
		}
	}
	return nil
}

// Names returns the projections that have adapters, in the model's order.
func (a *Adapters) Names() []string {
	var names []string
	for _, x := range a.list {
		names = append(names, x.name)
	}
	return names
}

// Params returns the matrices A and B, in the model's order.
func (a *Adapters) Params() []*tensor.Param {
	var all []*tensor.Param
	for _, x := range a.list {
		all = append(all, x.lowRank.A, x.lowRank.B)
	}
	return all
}

// Merge adds scale·B·A to the weights: up to rounding, the model computes the same as
// before, in the time of the base model, and [model.Save] writes it without adapters. The
// adapters cannot be trained until Unmerge. Packed weights cannot be merged: load the model
// without Options.Packed, and then its adapters. After an error of the device, only some of
// the weights are merged.
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

// Unmerge subtracts what Merge added: the weights are the same as before up to rounding.
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

// find returns the index of a projection in list, or -1.
func find(list []adapter, name string) int {
	return slices.IndexFunc(list, func(x adapter) bool { return x.name == name })
}
