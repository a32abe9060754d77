package moe

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Config is the shape of an MoE layer.
type Config struct {
	Hidden       int // D
	Intermediate int // F, width of one expert
	Experts      int // E, routed
	TopK         int // K, experts per token
	Shared       int // number of shared experts, fused into one FFN of width Shared·Intermediate; 0 means none

	Groups    int // number of expert groups; 0 means 1
	TopGroups int // number of groups that a token may use; 0 means all

	Scoring backend.Scoring    // the zero value is sigmoid (V3)
	GroupBy backend.GroupScore // the zero value is the sum of the top two scores (V3)
	// Normalize divides the K weights by their sum. With TopK 1 the weight is then always
	// Scale, so that only a balance loss trains the gate: without one, its gradient is
	// exactly 0 and its weights keep their initial values.
	Normalize bool
	Scale     float64 // multiplies the routed output; 0 means 1
	// Bias gives the gate the selection bias of auxiliary-loss-free balancing.
	Bias bool
}

// MoE is one mixture-of-experts layer.
type MoE struct {
	Config
	Gate    *Gate
	Experts *Experts
	Shared  *FFN // nil if there are no shared experts
}

// New creates a layer whose parameters are named prefix.gate.weight,
// prefix.experts.*.gate_proj.weight and so on. An impossible shape panics; a failure of the
// device is recorded in ps.
func New(ps *tensor.Params, prefix string, cfg Config) *MoE {
	if cfg.Groups == 0 {
		cfg.Groups = 1
	}
	if cfg.TopGroups == 0 {
		cfg.TopGroups = cfg.Groups
	}
	if cfg.Scale == 0 {
		cfg.Scale = 1
	}
	cfg.check("New " + prefix)
	m := &MoE{Config: cfg}
	m.Gate = newGate(ps, prefix+".gate", cfg)
	m.Experts = newExperts(ps, prefix+".experts", cfg)
	if cfg.Shared > 0 {
		m.Shared = NewFFN(ps, prefix+".shared_experts", cfg.Hidden, cfg.Shared*cfg.Intermediate)
	}
	return m
}

// Output is the result of a layer's forward.
type Output struct {
	Y      tensor.Tensor // [N, D]
	Scores tensor.Tensor // [N, E]: the gate's affinities, for the balance loss
	Index  tensor.Tensor // [N, K] I32: the experts of each token, ascending
}

// Forward computes y = Σ_{i∈I} w_i·FFN_i(x) + FFN_shared(x) for x [N, D]
// (DeepSeek-V3 eq. 12).
func (m *MoE) Forward(x tensor.Tensor) Output {
	weight, scores, index := m.Gate.Forward(x)
	r := tensor.Route(index, m.Config.Experts)
	r.Count(m.Gate.load)
	y := tensor.Combine(m.Experts.Forward(tensor.Dispatch(x, r), r.Offsets), weight, r)
	if m.Shared != nil {
		y = tensor.Add(y, m.Shared.Forward(x))
	}
	return Output{Y: y, Scores: scores, Index: index}
}
