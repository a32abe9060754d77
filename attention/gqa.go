package attention

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// GQAConfig is the shape of a grouped-query attention layer.
type GQAConfig struct {
	Hidden  int     // D
	Heads   int     // H
	KVHeads int     // G, divides Heads
	HeadDim int     // d, even
	Bias    bool    // biases on q, k and v, as in Qwen2
	QKNorm  bool    // RMSNorm on each head of q and k, as in Qwen3
	Eps     float64 // epsilon of QKNorm, which requires it
	// RoundKV rounds keys and values to BF16 before attention reads them, as a BF16 cache
	// does.
	RoundKV bool
}

// GQA is grouped-query attention (Ainslie et al. 2023) whose RoPE pairs element i with
// element i + d/2, as in Llama and Qwen2.
type GQA struct {
	GQAConfig
	Q, K, V, O   *tensor.Linear // [H·d, D], [G·d, D], [G·d, D], [D, H·d]
	QNorm, KNorm *tensor.Param  // [d]; nil without QKNorm
	Angles       tensor.Angles
}

// NewGQA creates a GQA layer whose parameters are named prefix.q_proj.weight and so on.
// angles must have dimension cfg.HeadDim. An impossible shape panics; a failure of the
// device is recorded in ps.
func NewGQA(ps *tensor.Params, prefix string, cfg GQAConfig, angles tensor.Angles) *GQA {
	what := "NewGQA " + prefix
	cfg.check(what)
	mustHaveAngles(what, angles, size{"HeadDim", cfg.HeadDim})
	linear := func(name string, out, in int, bias bool) *tensor.Linear {
		return tensor.NewLinear(ps, prefix+"."+name, out, in, bias)
	}
	g := &GQA{GQAConfig: cfg, Angles: angles}
	g.Q = linear("q_proj", cfg.Heads*cfg.HeadDim, cfg.Hidden, cfg.Bias)
	g.K = linear("k_proj", cfg.KVHeads*cfg.HeadDim, cfg.Hidden, cfg.Bias)
	g.V = linear("v_proj", cfg.KVHeads*cfg.HeadDim, cfg.Hidden, cfg.Bias)
	if cfg.QKNorm {
		g.QNorm = ps.Gain(prefix+".q_norm.weight", cfg.HeadDim)
		g.KNorm = ps.Gain(prefix+".k_norm.weight", cfg.HeadDim)
	}
	g.O = linear("o_proj", cfg.Hidden, cfg.Heads*cfg.HeadDim, false)
	return g
}

// Forward computes attention for x [N, D] and returns [N, D]. With a cache, it writes the
// keys and values of the rows to the cache and then reads all keys from there.
func (g *GQA) Forward(x tensor.Tensor, rows Rows, cache *Cache) tensor.Tensor {
	n := x.Dim(0)
	q := g.rotated(g.Q.Forward(x), g.Heads, g.QNorm, rows)   // [N,H,d]
	k := g.rotated(g.K.Forward(x), g.KVHeads, g.KNorm, rows) // [N,G,d]
	v := g.V.Forward(x).Reshape(n, g.KVHeads, g.HeadDim)     // [N,G,d]
	if cache != nil {
		k, v = cache.Append(rows, k, v)
	} else if g.RoundKV {
		k, v = k.Cast(backend.BF16), v.Cast(backend.BF16)
	}
	o := tensor.Attention(q, k, v, rows.Start, rows.Len, RoPEScaling{}.SoftmaxScale(g.HeadDim))
	return g.O.Forward(o.Reshape(n, g.Heads*g.HeadDim))
}

// rotated splits x [N, heads·d] into heads, applies norm unless it is nil, and applies
// RoPE.
func (g *GQA) rotated(x tensor.Tensor, heads int, norm *tensor.Param, rows Rows) tensor.Tensor {
	n := x.Dim(0)
	if norm != nil {
		x = tensor.RMSNorm(x.Reshape(n*heads, g.HeadDim), norm, g.Eps)
	}
	return tensor.RoPE(x.Reshape(n, heads, g.HeadDim), rows.Pos, g.Angles, false)
}

// Linears lists the projections q, k, v and o.
func (g *GQA) Linears() []*tensor.Linear { return []*tensor.Linear{g.Q, g.K, g.V, g.O} }

// NewCache allocates a cache for this layer.
func (g *GQA) NewCache(b backend.Backend, dt backend.DType, rows int) (*Cache, error) {
	return NewCache(b, dt, rows, g.KVHeads, g.HeadDim, g.HeadDim)
}
