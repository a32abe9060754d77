package moe

import "github.com/aha-go/aha/backend/tensor"

// FFN is the SwiGLU feed-forward y = W_down·(SiLU(W_gate·x) ⊙ W_up·x) (Shazeer 2020), used
// by dense layers and by shared experts.
type FFN struct {
	Gate, Up, Down *tensor.Linear // [F, D], [F, D], [D, F]
}

// NewFFN creates an FFN whose parameters are named prefix.gate_proj.weight and so on. A
// dimension below 1 panics; a failure of the device is recorded in ps.
func NewFFN(ps *tensor.Params, prefix string, hidden, intermediate int) *FFN {
	mustBeAtLeast("NewFFN "+prefix, 1, size{"hidden", hidden}, size{"intermediate", intermediate})
	return &FFN{
		Gate: tensor.NewLinear(ps, prefix+".gate_proj", intermediate, hidden, false),
		Up:   tensor.NewLinear(ps, prefix+".up_proj", intermediate, hidden, false),
		Down: tensor.NewLinear(ps, prefix+".down_proj", hidden, intermediate, false),
	}
}

// Forward maps x [N, D] to [N, D].
func (f *FFN) Forward(x tensor.Tensor) tensor.Tensor {
	return f.Down.Forward(tensor.SwiGLU(f.Gate.Forward(x), f.Up.Forward(x)))
}

// Linears lists the projections gate, up and down.
func (f *FFN) Linears() []*tensor.Linear { return []*tensor.Linear{f.Gate, f.Up, f.Down} }

// Experts holds the routed FFNs of a layer, each projection stacked over the experts.
type Experts struct {
	Gate, Up, Down *tensor.Param // [E, F, D], [E, F, D], [E, D, F]
}

func newExperts(ps *tensor.Params, prefix string, cfg Config) *Experts {
	return &Experts{
		Gate: ps.Stack(prefix+".*.gate_proj.weight", cfg.Experts, cfg.Intermediate, cfg.Hidden),
		Up:   ps.Stack(prefix+".*.up_proj.weight", cfg.Experts, cfg.Intermediate, cfg.Hidden),
		Down: ps.Stack(prefix+".*.down_proj.weight", cfg.Experts, cfg.Hidden, cfg.Intermediate),
	}
}

// Forward maps rows x [N·K, D], grouped by expert at offsets [E+1], to [N·K, D].
func (e *Experts) Forward(x, offsets tensor.Tensor) tensor.Tensor {
	h := tensor.SwiGLU(tensor.GroupedLinear(x, e.Gate, offsets), tensor.GroupedLinear(x, e.Up, offsets)) // [N·K,F]
	return tensor.GroupedLinear(h, e.Down, offsets)
}
