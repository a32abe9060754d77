package attention

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// MLAConfig is the shape of a multi-head latent attention layer.
type MLAConfig struct {
	Hidden int // D
	Heads  int // H
	QRank  int // width of the compressed query; 0 means no query compression
	KVRank int // C, width of the latent (kv_lora_rank)
	Nope   int // width of a head's part without position (qk_nope_head_dim)
	Rope   int // width of a head's rotated part, even (qk_rope_head_dim); all heads share its key
	Value  int // V, width of a head's value (v_head_dim)

	Interleaved bool    // RoPE rotates the pairs (2i, 2i+1), as in DeepSeek's checkpoints
	Scale       float64 // factor of the attention scores; 0 means (Nope+Rope)^-½
	// Absorbed selects the weight-absorbed form, which attends over the latent itself, in
	// training and decoding. It equals the naive form in exact arithmetic, but not bit for
	// bit.
	Absorbed bool
	// RoundKV rounds keys and values to BF16 before attention reads them, as a BF16 cache
	// does.
	RoundKV bool
}

// latentEps is the epsilon of the RMSNorm of the compressed query and of the latent. It
// does not depend on the model's rms_norm_eps (modeling_deepseek_v3.py).
const latentEps = 1e-6

// MLA is multi-head latent attention (DeepSeek-V2 §2.1, DeepSeek-V3 §2.1.1).
type MLA struct {
	MLAConfig
	Q     *tensor.Linear // [H·(N+R), D]; nil with query compression
	QA    *tensor.Linear // [QRank, D]
	QNorm *tensor.Param  // [QRank]
	QB    *tensor.Linear // [H·(N+R), QRank]
	KVA   *tensor.Linear // [C+R, D]
	KNorm *tensor.Param  // [C]
	KVB   *tensor.Linear // [H·(N+V), C]
	O     *tensor.Linear // [D, H·V]

	Angles tensor.Angles
}

// NewMLA creates an MLA layer whose parameters are named prefix.q_proj.weight and so on.
// angles must have dimension cfg.Rope. An impossible shape panics; a failure of the device
// is recorded in ps.
func NewMLA(ps *tensor.Params, prefix string, cfg MLAConfig, angles tensor.Angles) *MLA {
	what := "NewMLA " + prefix
	cfg.check(what)
	mustHaveAngles(what, angles, size{"Rope", cfg.Rope})
	if cfg.Scale == 0 {
		cfg.Scale = RoPEScaling{}.SoftmaxScale(cfg.Nope + cfg.Rope)
	}
	linear := func(name string, out, in int) *tensor.Linear {
		return tensor.NewLinear(ps, prefix+"."+name, out, in, false)
	}
	m := &MLA{MLAConfig: cfg, Angles: angles}
	if qk := cfg.Heads * (cfg.Nope + cfg.Rope); cfg.QRank == 0 {
		m.Q = linear("q_proj", qk, cfg.Hidden)
	} else {
		m.QA = linear("q_a_proj", cfg.QRank, cfg.Hidden)
		m.QNorm = ps.Gain(prefix+".q_a_layernorm.weight", cfg.QRank)
		m.QB = linear("q_b_proj", qk, cfg.QRank)
	}
	m.KVA = linear("kv_a_proj_with_mqa", cfg.KVRank+cfg.Rope, cfg.Hidden)
	m.KNorm = ps.Gain(prefix+".kv_a_layernorm.weight", cfg.KVRank)
	if up := cfg.Heads * (cfg.Nope + cfg.Value); !cfg.Absorbed {
		m.KVB = linear("kv_b_proj", up, cfg.KVRank)
	} else { // absorbed splits it by head
		m.KVB = &tensor.Linear{W: ps.FullPrecision(prefix+".kv_b_proj.weight", up, cfg.KVRank)}
	}
	m.O = linear("o_proj", cfg.Hidden, cfg.Heads*cfg.Value)
	return m
}

// Shapes: N packed tokens, D hidden, H heads, n nope, R rope, C KV rank, V value width

// Forward computes attention for x [N, D] and returns [N, D]. With a cache, it writes the
// keys and values of the rows to the cache and then reads all keys from there.
func (m *MLA) Forward(x tensor.Tensor, rows Rows, cache *Cache) tensor.Tensor {
	n := x.Dim(0)
	q := tensor.RoPE(m.query(x), rows.Pos, m.Angles, m.Interleaved) // [N,H,n+R]
	kv := m.KVA.Forward(x).Split(1, m.KVRank, m.Rope)               // [N,C] [N,R]
	cKV := tensor.RMSNorm(kv[0], m.KNorm, latentEps)                // [N,C]
	if m.Absorbed {
		return m.absorbed(q, cKV, kv[1], rows, cache)
	}
	up := m.KVB.Forward(cKV).Reshape(n, m.Heads, m.Nope+m.Value)  // [N,H,n+V]
	k, v := m.keys(up, kv[1], rows, cache)                        // [·,H,n+R] [·,H,V]
	o := tensor.Attention(q, k, v, rows.Start, rows.Len, m.Scale) // [N,H,V]
	return m.O.Forward(o.Reshape(n, m.Heads*m.Value))
}

// keys returns the keys and values that attention reads: without a cache those of the rows,
// with a cache all that it holds after those of the rows were appended.
func (m *MLA) keys(up, kR tensor.Tensor, rows Rows, cache *Cache) (k, v tensor.Tensor) {
	if cache != nil {
		return cache.appendMLA(rows, up, kR, m)
	}
	k, v = tensor.MLAKeys(up, kR, rows.Pos, m.Nope, m.Angles, m.Interleaved)
	if m.RoundKV {
		k, v = k.Cast(backend.BF16), v.Cast(backend.BF16)
	}
	return k, v
}

// query returns the queries of all heads [N, H, n+R], each with its nope part first.
func (m *MLA) query(x tensor.Tensor) tensor.Tensor {
	if m.Q != nil {
		return m.Q.Forward(x).Reshape(x.Dim(0), m.Heads, m.Nope+m.Rope)
	}
	cQ := tensor.RMSNorm(m.QA.Forward(x), m.QNorm, latentEps)
	return m.QB.Forward(cQ).Reshape(x.Dim(0), m.Heads, m.Nope+m.Rope)
}

// Linears lists the projections of the query, of the latent and of the output.
func (m *MLA) Linears() []*tensor.Linear {
	if m.QRank == 0 {
		return []*tensor.Linear{m.Q, m.KVA, m.KVB, m.O}
	}
	return []*tensor.Linear{m.QA, m.QB, m.KVA, m.KVB, m.O}
}

// NewCache allocates a cache for this layer: for the keys and values of all heads in the
// naive form, for the latent and the rotated key in the absorbed form.
func (m *MLA) NewCache(b backend.Backend, dt backend.DType, rows int) (*Cache, error) {
	if !m.Absorbed {
		return NewCache(b, dt, rows, m.Heads, m.Nope+m.Rope, m.Value)
	}
	c, err := NewCache(b, dt, rows, 1, m.KVRank+m.Rope, 0)
	if err != nil {
		return nil, err
	}
	c.V = c.K.Slice(2, 0, m.KVRank)
	return c, nil
}
