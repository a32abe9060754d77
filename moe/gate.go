package moe

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Gate scores tokens against experts and selects, see backend.MoEGate.
type Gate struct {
	W    *tensor.Linear // [E, D]
	Bias *tensor.Param  // [E]: selection only, moved by UpdateBias; nil without

	cfg  Config
	load *tensor.Counter // [E]: assignments since ResetLoad
}

func newGate(ps *tensor.Params, prefix string, cfg Config) *Gate {
	g := &Gate{cfg: cfg, load: ps.Counter(prefix+".load", cfg.Experts)}
	g.W = &tensor.Linear{W: ps.Router(prefix+".weight", cfg.Experts, cfg.Hidden)}
	if cfg.Bias {
		g.Bias = ps.Bias(prefix+".e_score_correction_bias", cfg.Experts)
		g.Bias.Kind, g.Bias.Trainable = tensor.KindSelection, false
	}
	return g
}

// Forward returns the weights [N, K], the scores [N, E] and the experts
// [N, K] of x [N, D]. Weights and scores are F32 for x in BF16, as in
// modeling_deepseek_v3.py.
func (g *Gate) Forward(x tensor.Tensor) (weight, scores, index tensor.Tensor) {
	c := g.cfg
	return tensor.Gate(g.W.ForwardAs(x, x.DType().Compute()), g.Bias, c.TopK, backend.MoEGate{
		Scoring: c.Scoring, GroupBy: c.GroupBy, Groups: c.Groups, TopGroups: c.TopGroups, Normalize: c.Normalize,
		Scale: c.Scale,
	})
}
