package model

import (
	"fmt"
	"strings"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// Attention is the attention of a Layer: attention.MLA or attention.GQA.
type Attention interface {
	Forward(x tensor.Tensor, rows attention.Rows, cache *attention.Cache) tensor.Tensor
	NewCache(b backend.Backend, dt backend.DType, rows int) (*attention.Cache, error)
	// Linears lists the projections, which may have adapters.
	Linears() []*tensor.Linear
}

// Layer is the Block of the published architectures: first h + Attention(RMSNorm(h)), then
// h + FFN(RMSNorm(h)).
type Layer struct {
	InputNorm *tensor.Param // [D]
	Attention Attention
	PostNorm  *tensor.Param // [D]
	FFN       *moe.FFN      // the dense feed-forward; nil in an MoE layer
	MoE       *moe.MoE      // nil in a dense layer
	eps       float64
}

// NewLayer creates layer model.layers.<l> of cfg, in the form and precision that o gives.
// Layers from NumHiddenLayers on belong to multi-token prediction. An invalid cfg and an l
// out of range panic; a failure of the device is recorded in ps.
func NewLayer(ps *tensor.Params, cfg Config, l int, angles tensor.Angles, o Options) *Layer {
	if err := cfg.Validate(); err != nil {
		panic(fmt.Sprintf("model: NewLayer: %s", strings.TrimPrefix(err.Error(), "model: ")))
	}
	if layers := cfg.NumHiddenLayers + cfg.NumNextNPredictLayers; l < 0 || l >= layers {
		panic(fmt.Sprintf("model: NewLayer: l is %d, want 0 or more and less than %d, num_hidden_layers and "+
			"num_nextn_predict_layers together", l, layers))
	}
	prefix := fmt.Sprintf("model.layers.%d", l)
	b := &Layer{eps: cfg.RMSNormEps}
	b.InputNorm = ps.Gain(prefix+".input_layernorm.weight", cfg.HiddenSize)
	b.Attention = NewAttention(ps, prefix+".self_attn", cfg, angles, o)
	b.PostNorm = ps.Gain(prefix+".post_attention_layernorm.weight", cfg.HiddenSize)
	if cfg.IsMoELayer(l) {
		b.MoE = NewMoE(ps, prefix+".mlp", cfg)
	} else {
		b.FFN = moe.NewFFN(ps, prefix+".mlp", cfg.HiddenSize, cfg.IntermediateSize)
	}
	return b
}

// NewAttention creates the attention of cfg, MLA or GQA, in the form and precision that o
// gives. Its parameters are named prefix.q_proj.weight and so on. An impossible shape
// panics; a failure of the device is recorded in ps.
func NewAttention(ps *tensor.Params, prefix string, cfg Config, angles tensor.Angles, o Options) Attention {
	if cfg.IsMLA() {
		shape := cfg.mla()
		shape.Absorbed, shape.RoundKV = o.Absorbed, o.RoundKV
		return attention.NewMLA(ps, prefix, shape, angles)
	}
	shape := cfg.gqa()
	shape.RoundKV = o.RoundKV
	return attention.NewGQA(ps, prefix, shape, angles)
}

// NewMoE creates the MoE layer of cfg. Its parameters are named prefix.gate.weight,
// prefix.experts.*.up_proj.weight and so on. An impossible shape panics; a failure of the
// device is recorded in ps.
func NewMoE(ps *tensor.Params, prefix string, cfg Config) *moe.MoE {
	return moe.New(ps, prefix, cfg.moe())
}

// Forward implements Block.
func (b *Layer) Forward(h tensor.Tensor, rows attention.Rows, cache *attention.Cache) (tensor.Tensor, []tensor.Tensor) {
	h = tensor.Add(h, b.Attention.Forward(tensor.RMSNorm(h, b.InputNorm, b.eps), rows, cache))
	x := tensor.RMSNorm(h, b.PostNorm, b.eps)
	if b.MoE == nil {
		return tensor.Add(h, b.FFN.Forward(x)), nil
	}
	y := b.MoE.Forward(x)
	return tensor.Add(h, y.Y), []tensor.Tensor{y.Scores}
}

// NewCache implements Block.
func (b *Layer) NewCache(d backend.Backend, dt backend.DType, rows int) (*attention.Cache, error) {
	return b.Attention.NewCache(d, dt, rows)
}

// Gates implements Block.
func (b *Layer) Gates() []*moe.Gate {
	if b.MoE == nil {
		return nil
	}
	return []*moe.Gate{b.MoE.Gate}
}

// Linears implements Block. It returns the projections of the attention and those of the
// dense feed-forward or of the shared experts. It omits routed experts, which are stacks,
// and the router, which is too sensitive for adapters.
func (b *Layer) Linears() []*tensor.Linear {
	all := b.Attention.Linears()
	switch {
	case b.FFN != nil:
		all = append(all, b.FFN.Linears()...)
	case b.MoE.Shared != nil:
		all = append(all, b.MoE.Shared.Linears()...)
	}
	return all
}

// mla returns the attention shape of an MLA config.
func (c Config) mla() attention.MLAConfig {
	return attention.MLAConfig{
		Hidden: c.HiddenSize, Heads: c.NumAttentionHeads, QRank: c.QLoRARank, KVRank: c.KVLoRARank,
		Nope: c.QKNopeHeadDim, Rope: c.QKRopeHeadDim, Value: c.VHeadDim,
		Interleaved: c.RoPEInterleave, Scale: c.scaling().SoftmaxScale(c.QKHeadDim()),
	}
}

// gqa returns the attention shape of a config without MLA.
func (c Config) gqa() attention.GQAConfig {
	return attention.GQAConfig{
		Hidden: c.HiddenSize, Heads: c.NumAttentionHeads, KVHeads: c.NumKeyValueHeads, HeadDim: c.QKHeadDim(),
		Bias: c.QKVBias(), QKNorm: c.QKNorm(), Eps: c.RMSNormEps,
	}
}

// moe returns the shape of cfg's MoE layers. V2 applies RoutedScalingFactor only if the
// weights are not normalised, and never normalises a single weight (modeling_deepseek.py of
// V2); V3 always applies it. Qwen3's MoE has no scaling factor, no groups and no shared
// experts.
func (c Config) moe() moe.Config {
	m := moe.Config{
		Hidden: c.HiddenSize, Intermediate: c.MoEIntermediateSize,
		Experts: c.NRoutedExperts, TopK: c.NumExpertsPerTok, Shared: c.NSharedExperts, Groups: c.NGroup,
		TopGroups: c.TopKGroup,
		Normalize: c.NormTopKProb, Scale: c.RoutedScalingFactor, Bias: c.TopKMethod == "noaux_tc",
	}
	if c.ScoringFunc == "softmax" || c.ModelType == TypeQwen3MoE {
		m.Scoring = backend.ScoreSoftmax
	}
	if c.TopKMethod == "group_limited_greedy" {
		m.GroupBy = backend.GroupMax
	}
	if c.ModelType == TypeDeepSeekV2 {
		if m.Normalize = c.NormTopKProb && c.NumExpertsPerTok > 1; m.Normalize {
			m.Scale = 1
		}
	}
	return m
}

// scaling returns the RoPE scaling of the config.
func (c Config) scaling() attention.RoPEScaling {
	r := c.RoPEScaling
	if r == nil {
		return attention.RoPEScaling{}
	}
	sc := attention.RoPEScaling{
		Factor: r.Factor, Original: r.OriginalMaxPositionEmbeddings,
		BetaFast: r.BetaFast, BetaSlow: r.BetaSlow, Untruncated: r.Truncate != nil && !*r.Truncate,
		AttentionFactor: r.AttentionFactor, MScale: r.MScale, MScaleAllDim: r.MScaleAllDim,
		LowFreqFactor: r.LowFreqFactor, HighFreqFactor: r.HighFreqFactor,
	}
	switch r.Type {
	case "yarn":
		sc.Kind = attention.YaRN
	case "llama3":
		sc.Kind = attention.Llama3
	}
	return sc
}
