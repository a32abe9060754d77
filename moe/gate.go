package moe

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Gate scores each token against the experts and selects K of them; see backend.MoEGate.
type Gate struct {
	W    *tensor.Linear // [E, D]
	Bias *tensor.Param  // [E]: affects selection only, moved by UpdateBias; nil for a gate without bias

	cfg    Config
	load   *tensor.Counter // [E]: assignments counted since ResetLoad
	choice *Choice         // set by Choose; nil selects by the scores
}

// Choice prescribes the experts of a gate, as in routing replay (arXiv 2510.11370), or
// records the experts that it chooses, or both.
type Choice struct {
	// Given [N, K] I32 are the experts of each token, in ascending order. Their scores are
	// normalised among them, and gradients flow through these scores to the router. Given
	// must live until the backward pass has run. If absent, the gate chooses.
	Given tensor.Tensor
	// Chosen [N, K] I32 receives the experts that the gate would choose by itself, which
	// differ from those it uses if Given is present. If absent, they are not recorded.
	Chosen tensor.Tensor

	forwards int
}

// Forwards returns the number of forwards that used c.
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

// Shape returns the number of experts E and the number K of experts that the gate chooses
// per token.
func (g *Gate) Shape() (experts, topK int) { return g.cfg.Experts, g.cfg.TopK }

// Choose makes the following forwards use c. If c is nil, the gate chooses by itself.
func (g *Gate) Choose(c *Choice) { g.choice = c }

// Forward returns the weights [N, K], the scores [N, E] and the experts [N, K] of x [N, D].
// For x in BF16, weights and scores are F32, as in modeling_deepseek_v3.py.
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
