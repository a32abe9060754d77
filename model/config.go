package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model/checkpoint"
)

// Model types, the values of model_type in a config.json.
const (
	TypeDeepSeekV3 = "deepseek_v3" // DeepSeek-V3, R1, R1-Zero, Moonlight: MLA and sigmoid-gated MoE
	TypeDeepSeekV2 = "deepseek_v2" // DeepSeek-V2, V2-Lite: MLA and softmax-gated MoE
	TypeQwen2      = "qwen2"       // grouped-query attention with biases on q, k and v
	TypeQwen3      = "qwen3"       // grouped-query attention with RMSNorm on each head of q and k
	TypeQwen3MoE   = "qwen3_moe"   // Qwen3-30B-A3B: the attention of qwen3 and softmax-gated MoE without shared experts
	TypeLlama      = "llama"       // grouped-query attention
)

// Config is the shape of a model. Its JSON form is Hugging Face's config.json:
// [ReadConfig] reads one and MarshalJSON writes one that transformers reads. A
// checkpoint's own says how its tensors are stored, see [Config.StoredAs].
//
// Dimensions have no defaults: a key missing from a file is an error, and a
// zero where a size is due fails [Config.Validate]. The tag family says which
// model types have a field; in all others it must be zero. A tag named after a
// model type is the key of that type.
type Config struct {
	ModelType string `json:"model_type"` // one of the Type constants

	VocabSize             int     `json:"vocab_size"`              // rows of the embedding and of the head
	HiddenSize            int     `json:"hidden_size"`             // width of the residual stream
	IntermediateSize      int     `json:"intermediate_size"`       // width of the dense SwiGLU
	NumHiddenLayers       int     `json:"num_hidden_layers"`       // decoder layers, MTP modules not counted
	NumAttentionHeads     int     `json:"num_attention_heads"`     // query heads
	NumKeyValueHeads      int     `json:"num_key_value_heads"`     // divides NumAttentionHeads; equal to it under MLA; null, or absent in llama and deepseek_v2, means equal
	MaxPositionEmbeddings int     `json:"max_position_embeddings"` // longest sequence, in tokens
	HiddenAct             string  `json:"hidden_act"`              // "silu"
	RMSNormEps            float64 `json:"rms_norm_eps"`            // added to the mean square; q_a and kv_a norms use 1e-6 whatever it says
	InitializerRange      float64 `json:"initializer_range"`       // standard deviation of freshly drawn weights
	TieWordEmbeddings     bool    `json:"tie_word_embeddings"`     // the head is the embedding; absent means false, as in transformers

	RoPETheta      float64      `json:"rope_theta"`                   // base of the rotary frequencies; absent means 10000
	RoPEScaling    *RoPEScaling `json:"rope_scaling"`                 // nil means plain RoPE
	RoPEInterleave bool         `json:"rope_interleave" family:"mla"` // pairs (2i, 2i+1), not (i, i+d/2); absent means true
	HeadDim        int          `json:"head_dim" family:"gqa"`        // width of a head; 0 means HiddenSize / NumAttentionHeads

	// These must be false. qwen2 has its q, k, v biases by type. Every layer attends
	// to the whole sequence: a file's true is read as false if no layer has a window.
	AttentionBias bool `json:"attention_bias"`
	MLPBias       bool `json:"mlp_bias" family:"llama,deepseek_v2"`
	SlidingWindow bool `json:"use_sliding_window" family:"qwen2,qwen3,qwen3_moe"`

	// Multi-head latent attention (arXiv:2405.04434 §2.1).
	QLoRARank     int `json:"q_lora_rank" family:"mla"`      // width of the compressed query; 0 (null in files) means none
	KVLoRARank    int `json:"kv_lora_rank" family:"mla"`     // width of the cached latent
	QKNopeHeadDim int `json:"qk_nope_head_dim" family:"mla"` // per head, without position
	QKRopeHeadDim int `json:"qk_rope_head_dim" family:"mla"` // per head, rotated; its key is shared by all heads
	VHeadDim      int `json:"v_head_dim" family:"mla"`       // per head

	// Mixture of experts (arXiv:2412.19437 §2.1.2). NRoutedExperts 0 (or null)
	// means no MoE layer at all.
	NRoutedExperts      int  `json:"n_routed_experts" qwen3_moe:"num_experts" family:"mla,qwen3_moe"`
	NumExpertsPerTok    int  `json:"num_experts_per_tok" family:"mla,qwen3_moe"`   // K of the top-K
	MoEIntermediateSize int  `json:"moe_intermediate_size" family:"mla,qwen3_moe"` // width of one expert
	NormTopKProb        bool `json:"norm_topk_prob" family:"mla,qwen3_moe"`        // the K weights are divided by their sum

	// Of MLA's types. Absent, TopKMethod is noaux_tc in V3 and greedy in V2.
	NSharedExperts      int     `json:"n_shared_experts" family:"mla"`      // always active, fused to one SwiGLU of this many widths
	FirstKDenseReplace  int     `json:"first_k_dense_replace" family:"mla"` // layers 0..this-1 have a dense FFN
	MoELayerFreq        int     `json:"moe_layer_freq" family:"mla"`        // of the others, those whose index it divides are MoE; absent means 1
	NGroup              int     `json:"n_group" family:"mla"`               // groups of experts; 1 (null in files) means no grouping
	TopKGroup           int     `json:"topk_group" family:"mla"`            // groups a token may use
	ScoringFunc         string  `json:"scoring_func" family:"mla"`          // "sigmoid" or "softmax"; absent means the type's own
	TopKMethod          string  `json:"topk_method" family:"mla"`           // "noaux_tc", "greedy" or "group_limited_greedy"
	RoutedScalingFactor float64 `json:"routed_scaling_factor" family:"mla"` // multiplies the routed output

	// Of qwen3_moe.
	DecoderSparseStep int   `json:"decoder_sparse_step" family:"qwen3_moe"` // layers whose index plus 1 it divides are MoE; absent means 1
	MLPOnlyLayers     []int `json:"mlp_only_layers" family:"qwen3_moe"`     // layers that have a dense FFN all the same

	// NumNextNPredictLayers counts the multi-token prediction modules
	// (arXiv:2412.19437 §2.2), stored as the layers after the last; absent means 0.
	NumNextNPredictLayers int `json:"num_nextn_predict_layers" family:"mla"`

	BOSTokenID TokenIDs `json:"bos_token_id"` // empty means none
	EOSTokenID TokenIDs `json:"eos_token_id"` // any of them ends a sequence

	DType        string        `json:"torch_dtype"`         // dtype of the stored weights, such as "bfloat16"; "" if the file does not say
	Quantization *Quantization `json:"quantization_config"` // nil means the weights are stored as DType

	// Extra holds the keys of a file that have no field here, so that MarshalJSON
	// writes them back; [Config.Unknown] lists those that this package does not
	// know. Keys of nested objects lie in an object under rope_scaling or
	// quantization_config. If nil, there are none.
	Extra map[string]json.RawMessage `json:"-"`
}

// StoredAs is c as the config.json of weights that are stored in dt: DType says so,
// and Quantization is nil. For backend.E4M3, which is FP8 with scales of blocks as
// DeepSeek-V3 has it, Quantization describes it, and DType is that of what is not
// quantised, "bfloat16". A file that says less than its tensors hold is rounded by
// whoever loads it as it says.
func (c Config) StoredAs(dt backend.DType) Config {
	c.Quantization = nil
	if _, ok := c.Extra[quantizationKey]; ok {
		c.Extra = maps.Clone(c.Extra)
		delete(c.Extra, quantizationKey)
	}
	switch dt {
	case backend.F32:
		c.DType = "float32"
	case backend.F64:
		c.DType = "float64"
	case backend.BF16:
		c.DType = "bfloat16"
	case backend.E4M3:
		c.DType = "bfloat16"
		c.Quantization = &Quantization{
			QuantMethod: "fp8", Fmt: "e4m3", ActivationScheme: "dynamic", WeightBlockSize: []int{128, 128},
		}
	default:
		panic("model: StoredAs: no weights are stored as " + dt.String())
	}
	return c
}

// RoPEScaling stretches RoPE beyond the length it was trained on. The tag rope
// says which type has a field; in the other it must be zero.
type RoPEScaling struct {
	Type                          string  `json:"type"`                             // "yarn" (arXiv:2309.00071) or "llama3"
	Factor                        float64 `json:"factor"`                           // new length over old, at least 1
	OriginalMaxPositionEmbeddings int     `json:"original_max_position_embeddings"` // the old length, in tokens; absent means max_position_embeddings

	BetaFast float64 `json:"beta_fast" rope:"yarn"` // turns over the old length above which a pair is left alone; absent means 32
	BetaSlow float64 `json:"beta_slow" rope:"yarn"` // turns below which it is interpolated; absent means 1
	Truncate *bool   `json:"truncate" rope:"yarn"`  // whether the pairs of BetaFast and BetaSlow are rounded outwards to whole ones; nil means true

	// AttentionFactor multiplies cos and sin. If 0 (absent), it is
	// m(MScale)/m(MScaleAllDim) where both are given and else m(1), with
	// m(a) = 1 + a·ln(Factor)/10.
	AttentionFactor float64 `json:"attention_factor" rope:"yarn"`
	MScale          float64 `json:"mscale" rope:"yarn"`         // see AttentionFactor; 0 means absent
	MScaleAllDim    float64 `json:"mscale_all_dim" rope:"yarn"` // see AttentionFactor; MLA's softmax scale is multiplied by m(MScaleAllDim)²; 0 means absent

	LowFreqFactor  float64 `json:"low_freq_factor" rope:"llama3"`  // waves longer than the old length over this are divided by Factor
	HighFreqFactor float64 `json:"high_freq_factor" rope:"llama3"` // waves shorter than the old length over this are left alone
}

// Quantization says how the linear weights of a checkpoint are stored.
type Quantization struct {
	QuantMethod      string `json:"quant_method"`      // "fp8"
	Fmt              string `json:"fmt"`               // "e4m3"; absent means that
	ActivationScheme string `json:"activation_scheme"` // "dynamic": activations are quantised as they come; absent means that
	WeightBlockSize  []int  `json:"weight_block_size"` // rows and columns that share one scale; absent means [128, 128]
	ScaleFmt         string `json:"scale_fmt"`         // "ue8m0" if scales are powers of two, "" (absent or "float") if any float32
}

// Block is WeightBlockSize as [checkpoint.LoadOptions] has it: zero if q is nil.
func (q *Quantization) Block() [2]int {
	switch {
	case q == nil:
		return [2]int{}
	case len(q.WeightBlockSize) == 0:
		return checkpoint.V3Block
	}
	return [2]int(q.WeightBlockSize)
}

// TokenIDs is one token id, several, or none: in JSON a number, a list or null.
type TokenIDs []int

// UnmarshalJSON accepts a number, a list of numbers or null.
func (t *TokenIDs) UnmarshalJSON(b []byte) error {
	*t = nil
	var one *int
	if err := json.Unmarshal(b, &one); err == nil {
		if one != nil {
			*t = TokenIDs{*one}
		}
		return nil
	}
	var many []int
	if err := json.Unmarshal(b, &many); err != nil {
		return fmt.Errorf("want a token id, a list of them or null")
	}
	if len(many) > 0 {
		*t = many
	}
	return nil
}

// MarshalJSON writes null for none, a number for one and a list for several.
func (t TokenIDs) MarshalJSON() ([]byte, error) {
	switch len(t) {
	case 0:
		return []byte("null"), nil
	case 1:
		return json.Marshal(t[0])
	}
	return json.Marshal([]int(t))
}

// IsMLA reports whether the attention is multi-head latent attention rather
// than grouped-query attention.
func (c Config) IsMLA() bool {
	return c.ModelType == TypeDeepSeekV3 || c.ModelType == TypeDeepSeekV2
}

// IsMoELayer reports whether layer l has experts rather than one dense FFN.
// The MTP modules are the layers from NumHiddenLayers on, and follow the same rule.
func (c Config) IsMoELayer(l int) bool {
	if c.ModelType == TypeQwen3MoE {
		return c.NRoutedExperts > 0 && (l+1)%c.DecoderSparseStep == 0 && !slices.Contains(c.MLPOnlyLayers, l)
	}
	return c.NRoutedExperts > 0 && l >= c.FirstKDenseReplace && l%c.MoELayerFreq == 0
}

// QKVBias reports whether the q, k and v projections have biases.
func (c Config) QKVBias() bool { return c.ModelType == TypeQwen2 }

// QKNorm reports whether each head of q and k is normalised before RoPE.
func (c Config) QKNorm() bool { return c.ModelType == TypeQwen3 || c.ModelType == TypeQwen3MoE }

// QKHeadDim is the width of one head of q and k: nope and rope together under MLA.
func (c Config) QKHeadDim() int {
	switch {
	case c.IsMLA():
		return c.QKNopeHeadDim + c.QKRopeHeadDim
	case c.HeadDim != 0:
		return c.HeadDim
	}
	return c.HiddenSize / c.NumAttentionHeads
}

// RoPEDim is how many of a head's QKHeadDim are rotated.
func (c Config) RoPEDim() int {
	if c.IsMLA() {
		return c.QKRopeHeadDim
	}
	return c.QKHeadDim()
}
