package moe

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Gate scores tokens against experts and selects, see backend.MoEGate.
type Gate struct {
	W    *tensor.Linear // [E, D]
	Bias *tensor.Param  // [E]: selection only, moved by UpdateBias; nil without

	cfg    Config
	load   *tensor.Counter // [E]: assignments since ResetLoad
	choice *Choice         // of Forward; nil leaves it to the scores
}

// Choice takes the choice of experts from a gate, as routing replay does (arXiv
// 2510.11370), or takes it down, or both.
type Choice struct {
	// Given [N, K] I32 are the experts of each token, ascending: their scores are
	// normalised among them, and gradients flow through these to the router. It lives until
	// the backward pass has run. If absent, the gate chooses.
	Given tensor.Tensor
	// Chosen [N, K] I32 is set to the experts that the gate chooses, which are not those it
	// uses where Given is present. If absent, they are not kept.
	Chosen tensor.Tensor

	forwards int
}

// Forwards is the number of forwards that c was used by.
func (c *Choice) Forwards() int { return c.forwards }

func newGate(ps *tensor.Params, prefix string, cfg Config) *Gate {
	g := &Gate{cfg: cfg, load: ps.Counter(prefix+".load", cfg.Experts)}
	g.W = &tensor.Linear{W: ps.Router(prefix+".weight", cfg.Experts, cfg.Hidden)}
	if cfg.Bias {
		g.Bias = ps.Bias(prefix+".e_score_correction_bias", cfg.Experts)
		g.Bias.Kind, g.Bias.Trainable = tensor.KindSelection, false
	}
	return g
}

// Shape is the number of experts E, of which the gate chooses K a token.
func (g *Gate) Shape() (experts, topK int) { return g.cfg.Experts, g.cfg.TopK }

// Choose has the forwards that follow use c. If nil, the gate chooses by itself.
func (g *Gate) Choose(c *Choice) { g.choice = c }

// Forward returns the weights [N, K], the scores [N, E] and the experts
// [N, K] of x [N, D]. Weights and scores are F32 for x in BF16, as in
// modeling_deepseek_v3.py.
func (g *Gate) Forward(x tensor.Tensor) (weight, scores, index tensor.Tensor) {
	logits := g.W.ForwardAs(x, x.DType().Compute())
	c := g.choice
	if c == nil {
		return tensor.Gate(logits, g.Bias, g.cfg.TopK, g.rule())
	}
	c.forwards++
	var chosen tensor.Tensor
	if c.Given.Present() {
		index = logits.Scope().Constant(c.Given.View()) // not of the scope around Recompute, which counts loads
		weight, scores, chosen = tensor.GateAt(logits, index, g.Bias, g.rule())
	} else {
		weight, scores, index = tensor.Gate(logits, g.Bias, g.cfg.TopK, g.rule())
		chosen = index
	}
	if c.Chosen.Present() {
		logits.Scope().Copy(c.Chosen.View(), chosen.View())
	}
	return weight, scores, index
}

func (g *Gate) rule() backend.MoEGate {
	c := g.cfg
	return backend.MoEGate{
		Scoring: c.Scoring, GroupBy: c.GroupBy, Groups: c.Groups, TopGroups: c.TopGroups, Normalize: c.Normalize,
		Scale: c.Scale,
	}
}
