package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model/checkpoint"
)

// Model types, the values of model_type in config.json.
const (
	TypeDeepSeekV3 = "deepseek_v3" // DeepSeek-V3, R1, R1-Zero, Moonlight: MLA and sigmoid-gated MoE
	TypeDeepSeekV2 = "deepseek_v2" // DeepSeek-V2, V2-Lite: MLA and softmax-gated MoE
	TypeQwen2      = "qwen2"       // grouped-query attention with biases on q, k and v
	TypeQwen3      = "qwen3"       // grouped-query attention with RMSNorm on each head of q and k
	TypeQwen3MoE   = "qwen3_moe"   // Qwen3-30B-A3B: the attention of qwen3 and softmax-gated MoE without shared experts
	TypeLlama      = "llama"       // grouped-query attention
)

// Config is the shape of a model. Its JSON form is Hugging Face's config.json: [ReadConfig]
// reads one, and MarshalJSON writes one that transformers can read. The config.json of a
// checkpoint also says how its tensors are stored, see [Config.StoredAs].
//
// Dimensions have no defaults: a key missing from a file is an error, and a dimension of
// zero fails [Config.Validate]. The tag family lists the model types that have a field; in
// all other types the field must be zero. A tag named after a model type is the key in
// files of that type.
type Config struct {
	ModelType string `json:"model_type"` // one of the Type constants

	VocabSize         int `json:"vocab_size"`          // rows of the embedding and of the head
	HiddenSize        int `json:"hidden_size"`         // width of the residual stream
	IntermediateSize  int `json:"intermediate_size"`   // width of the dense SwiGLU
	NumHiddenLayers   int `json:"num_hidden_layers"`   // number of decoder layers, without MTP modules
	NumAttentionHeads int `json:"num_attention_heads"` // query heads
	// NumKeyValueHeads divides NumAttentionHeads; with MLA the two are equal. null means
	// equal, and so does absence in llama and deepseek_v2.
	NumKeyValueHeads      int    `json:"num_key_value_heads"`
	MaxPositionEmbeddings int    `json:"max_position_embeddings"` // longest sequence, in tokens
	HiddenAct             string `json:"hidden_act"`              // "silu"
	// RMSNormEps is added to the mean square; the norms of MLA's latents use 1e-6 instead.
	RMSNormEps       float64 `json:"rms_norm_eps"`
	InitializerRange float64 `json:"initializer_range"` // standard deviation of randomly initialized weights
	// TieWordEmbeddings makes the head share the weights of the embedding; absent means false,
	// as in transformers.
	TieWordEmbeddings bool `json:"tie_word_embeddings"`

	RoPETheta   float64      `json:"rope_theta"`   // base of the rotary frequencies; absent means 10000
	RoPEScaling *RoPEScaling `json:"rope_scaling"` // nil means plain RoPE
	// RoPEInterleave rotates pairs (2i, 2i+1) instead of (i, i+d/2); absent means true.
	RoPEInterleave bool `json:"rope_interleave" family:"mla"`
	// HeadDim is the width of a head; 0 means HiddenSize / NumAttentionHeads.
	HeadDim int `json:"head_dim" family:"gqa"`

	// These must be false. qwen2 has biases on q, k and v by its type. Every layer attends
	// to the whole sequence: use_sliding_window true in a file is read as false if no layer
	// has a window.
	AttentionBias bool `json:"attention_bias"`
	MLPBias       bool `json:"mlp_bias" family:"llama,deepseek_v2"`
	SlidingWindow bool `json:"use_sliding_window" family:"qwen2,qwen3,qwen3_moe"`

	// Multi-head latent attention (arXiv:2405.04434 §2.1).
	// QLoRARank is the width of the compressed query; 0 (null in files) means no compression.
	QLoRARank     int `json:"q_lora_rank" family:"mla"`
	KVLoRARank    int `json:"kv_lora_rank" family:"mla"`     // width of the cached latent
	QKNopeHeadDim int `json:"qk_nope_head_dim" family:"mla"` // width of a head's part without position
	QKRopeHeadDim int `json:"qk_rope_head_dim" family:"mla"` // width of a head's rotated part; all heads share its key
	VHeadDim      int `json:"v_head_dim" family:"mla"`       // width of a head's value

	// Mixture of experts (arXiv:2412.19437 §2.1.2). If NRoutedExperts is 0 or null, there
	// are no MoE layers.
	NRoutedExperts      int  `json:"n_routed_experts" qwen3_moe:"num_experts" family:"mla,qwen3_moe"`
	NumExpertsPerTok    int  `json:"num_experts_per_tok" family:"mla,qwen3_moe"`   // K of the top-K
	MoEIntermediateSize int  `json:"moe_intermediate_size" family:"mla,qwen3_moe"` // width of one expert
	NormTopKProb        bool `json:"norm_topk_prob" family:"mla,qwen3_moe"`        // divide the K weights by their sum

	// Only MLA's types have these. An absent TopKMethod means noaux_tc in V3 and greedy in
	// V2. NSharedExperts are always active; they form one SwiGLU of this many expert widths.
	NSharedExperts     int `json:"n_shared_experts" family:"mla"`
	FirstKDenseReplace int `json:"first_k_dense_replace" family:"mla"` // layers below this index have a dense FFN
	// Of the other layers, those whose index is a multiple of MoELayerFreq are MoE layers;
	// absent means 1.
	MoELayerFreq int `json:"moe_layer_freq" family:"mla"`
	// NGroup is the number of expert groups; 1 (null in files) means no grouping.
	NGroup    int `json:"n_group" family:"mla"`
	TopKGroup int `json:"topk_group" family:"mla"` // number of groups that a token may use
	// ScoringFunc is "sigmoid" or "softmax"; absent means the default of the type.
	ScoringFunc string `json:"scoring_func" family:"mla"`
	// TopKMethod is "noaux_tc", "greedy" or "group_limited_greedy".
	TopKMethod          string  `json:"topk_method" family:"mla"`
	RoutedScalingFactor float64 `json:"routed_scaling_factor" family:"mla"` // multiplies the routed output

	// Only qwen3_moe has these. Layers whose index plus 1 is a multiple of DecoderSparseStep
	// are MoE layers; absent means 1.
	DecoderSparseStep int   `json:"decoder_sparse_step" family:"qwen3_moe"`
	MLPOnlyLayers     []int `json:"mlp_only_layers" family:"qwen3_moe"` // layers that have a dense FFN in any case

	// NumNextNPredictLayers is the number of multi-token prediction modules
	// (arXiv:2412.19437 §2.2), stored as the layers after the last; absent means 0.
	NumNextNPredictLayers int `json:"num_nextn_predict_layers" family:"mla"`

	BOSTokenID TokenIDs `json:"bos_token_id"` // empty means none
	EOSTokenID TokenIDs `json:"eos_token_id"` // any of them ends a sequence

	// DType is the dtype of the stored weights, such as "bfloat16"; "" if the file does not
	// say.
	DType        string        `json:"torch_dtype"`
	Quantization *Quantization `json:"quantization_config"` // nil means the weights are stored as DType

	// Extra holds the keys of a file that have no field here, and MarshalJSON writes them
	// back. [Config.Unknown] lists those that this package does not know. Keys of nested
	// objects are in an object under rope_scaling or quantization_config.
	Extra map[string]json.RawMessage `json:"-"`
}

// StoredAs returns c as the config.json of weights stored in dt: DType is dt, and
// Quantization is nil. For backend.E4M3, which means FP8 with a scale per block as in
// DeepSeek-V3, Quantization describes the blocks, and DType is that of the tensors that are
// not quantised, "bfloat16". Loaders may round tensors to the dtype that config.json gives,
// so it must not be less precise than the tensors.
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
		panic("model: StoredAs: weights cannot be stored as " + dt.String())
	}
	return c
}

// RoPEScaling extends RoPE beyond the context length of pretraining. The tag rope names the
// type that has a field; in the other type it must be zero.
type RoPEScaling struct {
	Type   string  `json:"type"`   // "yarn" (arXiv:2309.00071) or "llama3"
	Factor float64 `json:"factor"` // ratio of the new context length to the original, at least 1
	// OriginalMaxPositionEmbeddings is the context length of pretraining in tokens; absent
	// means max_position_embeddings.
	OriginalMaxPositionEmbeddings int `json:"original_max_position_embeddings"`

	// BetaFast is the number of rotations over the original length above which a pair keeps
	// its frequency; absent means 32.
	BetaFast float64 `json:"beta_fast" rope:"yarn"`
	// BetaSlow is the number of rotations below which a pair is interpolated; absent means
	// 1.
	BetaSlow float64 `json:"beta_slow" rope:"yarn"`
	// Truncate rounds the pairs of BetaFast and BetaSlow outwards to whole indices; nil
	// means true.
	Truncate *bool `json:"truncate" rope:"yarn"`

	// AttentionFactor multiplies cos and sin. If 0 or absent, it is
	// m(MScale)/m(MScaleAllDim) if both are given and else m(1), with m(a) = 1 +
	// a·ln(Factor)/10.
	AttentionFactor float64 `json:"attention_factor" rope:"yarn"`
	MScale          float64 `json:"mscale" rope:"yarn"` // see AttentionFactor; 0 means absent
	// MScaleAllDim: see AttentionFactor; MLA's softmax scale is also multiplied by
	// m(MScaleAllDim)². 0 means absent.
	MScaleAllDim float64 `json:"mscale_all_dim" rope:"yarn"`

	// Wavelengths longer than the original length over LowFreqFactor are multiplied by
	// Factor.
	LowFreqFactor float64 `json:"low_freq_factor" rope:"llama3"`
	// Wavelengths shorter than the original length over HighFreqFactor are kept.
	HighFreqFactor float64 `json:"high_freq_factor" rope:"llama3"`
}

// Quantization describes how the linear weights of a checkpoint are stored.
type Quantization struct {
	QuantMethod string `json:"quant_method"` // "fp8"
	Fmt         string `json:"fmt"`          // "e4m3"; absent means the same
	// ActivationScheme is "dynamic", which quantises activations at run time; absent means the
	// same.
	ActivationScheme string `json:"activation_scheme"`
	// WeightBlockSize gives the rows and columns of a block that shares one scale; absent
	// means [128, 128].
	WeightBlockSize []int `json:"weight_block_size"`
	// ScaleFmt is "ue8m0" if scales are powers of two; "" (absent or "float") means any
	// float32.
	ScaleFmt string `json:"scale_fmt"`
}

// Block returns WeightBlockSize in the form of [checkpoint.LoadOptions]: zero if q is nil.
func (q *Quantization) Block() [2]int {
	switch {
	case q == nil:
		return [2]int{}
	case len(q.WeightBlockSize) == 0:
		return checkpoint.V3Block
	}
	return [2]int(q.WeightBlockSize)
}

// TokenIDs is a list of token ids. Its JSON form is null, a number or a list.
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

// MarshalJSON writes null for no id, a number for one id, and a list for several.
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

// IsMoELayer reports whether layer l has experts instead of a dense FFN. MTP modules are
// the layers from NumHiddenLayers on and follow the same rule.
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

// QKHeadDim returns the width of one head of q and k; with MLA, of its nope and rope parts
// together.
func (c Config) QKHeadDim() int {
	switch {
	case c.IsMLA():
		return c.QKNopeHeadDim + c.QKRopeHeadDim
	case c.HeadDim != 0:
		return c.HeadDim
	}
	return c.HiddenSize / c.NumAttentionHeads
}

// RoPEDim returns how many of a head's QKHeadDim elements are rotated.
func (c Config) RoPEDim() int {
	if c.IsMLA() {
		return c.QKRopeHeadDim
	}
	return c.QKHeadDim()
}
