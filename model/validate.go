package model

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// FieldError is one fault of a [Config].
type FieldError struct {
	Key   string // the key in config.json, such as "rope_scaling.factor"
	Value any    // the invalid value; nil if it is missing
	Rule  string // the rule that the value violates
}

// Error returns key, value and rule, such as "topk_group = 9: must be at most n_group = 8".
func (e FieldError) Error() string {
	if e.Value == nil {
		return e.Key + ": " + e.Rule
	}
	value := fmt.Sprint(e.Value)
	if b, err := json.Marshal(e.Value); err == nil {
		value = string(b)
	}
	return fmt.Sprintf("%s = %.80s: %s", e.Key, value, e.Rule) // a value may be a whole mistyped object
}

// ConfigError lists every fault of a [Config], in the order of its fields.
type ConfigError struct {
	Path   string // the file, "" if the Config did not come from one
	Fields []FieldError
}

// Error names the file and every fault.
func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("model: config")
	if e.Path != "" {
		b.WriteString(" " + e.Path)
	}
	for i, f := range e.Fields {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(f.Error())
	}
	return b.String()
}

const (
	ruleMissing = "missing, and has no default"
	ruleForeign = "must be absent for this model_type"
)

// Largest values accepted. They exceed those of every published model by far and keep the
// product of two dimensions within an int64. Positions must be integers that float32
// represents exactly, because transformers computes with them in float32.
const (
	maxWidth   = 1 << 24
	maxHeads   = 1 << 16
	maxLayers  = 1 << 14
	maxExperts = 1 << 16
	maxVocab   = 1 << 28
	maxLength  = 1 << 24
)

// Validate returns a [*ConfigError] that lists every field that is out of range or
// contradicts another, or nil. A rule about several fields is checked only if each of them
// is in range.
func (c Config) Validate() error {
	k := &checker{}
	known := k.oneOf("model_type", c.ModelType, TypeDeepSeekV3, TypeDeepSeekV2, TypeQwen2, TypeQwen3,
		TypeQwen3MoE, TypeLlama)
	k.common(c)
	k.rope(c)
	if known {
		k.foreign(c)
		if c.IsMLA() {
			k.mla(c)
			k.moe(c)
		} else {
			k.gqa(c)
			k.qwen3MoE(c)
		}
		k.extra(c)
		if len(k.faults) == 0 {
			if n, _ := countParams[float64](c); n+float64(c.NumNextNPredictLayers)*n > 1<<62 {
				k.fail("num_hidden_layers", c.NumHiddenLayers, "the model would have more than 2^62 parameters")
			}
		}
	}
	if len(k.faults) == 0 {
		return nil
	}
	return &ConfigError{Fields: k.faults}
}

// checker collects faults. Its methods report whether the rule holds.
type checker struct{ faults []FieldError }

func (k *checker) fail(key string, value any, format string, args ...any) bool {
	k.faults = append(k.faults, FieldError{Key: key, Value: value, Rule: fmt.Sprintf(format, args...)})
	return false
}

func (k *checker) within(key string, v, lo, hi int) bool {
	switch {
	case v < lo && lo == 1:
		return k.fail(key, v, "must be positive")
	case v < lo || v > hi:
		return k.fail(key, v, "must be between %d and %d", lo, hi)
	}
	return true
}

// positive also rejects values that become 0 or ∞ in float32, the type of the kernels.
func (k *checker) positive(key string, v float64) bool {
	if f := float32(v); !(f > 0) || math.IsInf(float64(f), 0) {
		return k.fail(key, v, "must be positive and a finite float32")
	}
	return true
}

func (k *checker) isFalse(key string, v bool, why string) {
	if v {
		k.fail(key, v, "must be false: %s", why)
	}
}

func (k *checker) oneOf(key, v string, allowed ...string) bool {
	if slices.Contains(allowed, v) {
		return true
	}
	return k.fail(key, v, "must be one of %s", strings.Join(allowed, ", "))
}

func (k *checker) common(c Config) {
	vocab := k.within("vocab_size", c.VocabSize, 1, maxVocab)
	k.within("hidden_size", c.HiddenSize, 1, maxWidth)
	k.within("intermediate_size", c.IntermediateSize, 1, maxWidth)
	k.within("num_hidden_layers", c.NumHiddenLayers, 1, maxLayers)
	heads := k.within("num_attention_heads", c.NumAttentionHeads, 1, maxHeads)
	kv := k.within("num_key_value_heads", c.NumKeyValueHeads, 1, maxHeads)
	if heads && kv && c.NumAttentionHeads%c.NumKeyValueHeads != 0 {
		k.fail("num_key_value_heads", c.NumKeyValueHeads, "must divide num_attention_heads = %d", c.NumAttentionHeads)
	}
	k.within("max_position_embeddings", c.MaxPositionEmbeddings, 1, maxLength)
	k.oneOf("hidden_act", c.HiddenAct, "silu")
	k.positive("rms_norm_eps", c.RMSNormEps)
	k.positive("initializer_range", c.InitializerRange)
	k.isFalse("attention_bias", c.AttentionBias, "only qwen2's own q, k, v biases are supported")
	for _, ids := range []struct {
		key string
		ids TokenIDs
	}{{"bos_token_id", c.BOSTokenID}, {"eos_token_id", c.EOSTokenID}} {
		for _, id := range ids.ids {
			if id < 0 || vocab && id >= c.VocabSize {
				k.fail(ids.key, id, "must be at least 0 and below vocab_size = %d", c.VocabSize)
			}
		}
	}
	if c.DType != "" {
		k.oneOf("torch_dtype", c.DType, "bfloat16", "float32", "float16", "float64")
	}
	if q := c.Quantization; q != nil {
		k.oneOf("quantization_config.quant_method", q.QuantMethod, "fp8")
		k.oneOf("quantization_config.fmt", q.Fmt, "e4m3")
		k.oneOf("quantization_config.activation_scheme", q.ActivationScheme, "dynamic")
		if q.ScaleFmt != "" {
			k.oneOf("quantization_config.scale_fmt", q.ScaleFmt, "ue8m0")
		}
		if b := q.WeightBlockSize; len(b) != 2 || b[0] < 1 || b[1] < 1 || b[0] > maxWidth || b[1] > maxWidth {
			k.fail("quantization_config.weight_block_size", b, "must be two positive numbers, rows and columns")
		}
	}
}

func (k *checker) rope(c Config) {
	if !(c.RoPETheta > 1) || !(c.RoPETheta <= math.MaxFloat32) {
		k.fail("rope_theta", c.RoPETheta, "must be above 1 and a finite float32")
	}
	s := c.RoPEScaling
	if s == nil {
		return
	}
	const p = ropeKey + "."
	if !k.oneOf(p+"type", s.Type, "yarn", "llama3") {
		return
	}
	if !(s.Factor >= 1) || !(s.Factor <= math.MaxFloat32) {
		k.fail(p+"factor", s.Factor, "must be at least 1 and a finite float32")
	}
	k.within(p+"original_max_position_embeddings", s.OriginalMaxPositionEmbeddings, 1, maxLength)
	for f, v := range reflect.ValueOf(*s).Fields() {
		if !hasRoPEType(f, s.Type) && !v.IsZero() {
			k.fail(p+jsonKey(f, ""), v.Interface(), "must be absent when %stype is %q", p, s.Type)
		}
	}
	switch s.Type {
	case "yarn":
		fast, slow := k.positive(p+"beta_fast", s.BetaFast), k.positive(p+"beta_slow", s.BetaSlow)
		if fast && slow && s.BetaFast <= s.BetaSlow {
			k.fail(p+"beta_fast", s.BetaFast, "must be above beta_slow = %v", s.BetaSlow)
		}
		for _, f := range []struct {
			key string
			v   float64
		}{{"attention_factor", s.AttentionFactor}, {"mscale", s.MScale}, {"mscale_all_dim", s.MScaleAllDim}} {
			if f.v != 0 {
				k.positive(p+f.key, f.v)
			}
		}
	case "llama3":
		low, high := k.positive(p+"low_freq_factor", s.LowFreqFactor), k.positive(p+"high_freq_factor", s.HighFreqFactor)
		if low && high && s.HighFreqFactor <= s.LowFreqFactor {
			k.fail(p+"high_freq_factor", s.HighFreqFactor, "must be above low_freq_factor = %v", s.LowFreqFactor)
		}
	}
}

// foreign reports nonzero values in fields that the model type does not have.
func (k *checker) foreign(c Config) {
	for f, v := range configFields(reflect.ValueOf(c)) {
		if !inFamily(f, c.ModelType) && !v.IsZero() {
			k.fail(jsonKey(f, c.ModelType), v.Interface(), ruleForeign)
		}
	}
}

func (k *checker) gqa(c Config) {
	k.isFalse("mlp_bias", c.MLPBias, "biases in the FFN are not supported")
	k.isFalse("use_sliding_window", c.SlidingWindow, "sliding-window attention is not supported")
	if c.HeadDim == 0 {
		if c.ModelType == TypeQwen3 {
			k.fail("head_dim", c.HeadDim, "must be given for qwen3")
		} else if c.HiddenSize > 0 && c.NumAttentionHeads > 0 {
			if c.HiddenSize%c.NumAttentionHeads != 0 {
				k.fail("hidden_size", c.HiddenSize,
					"must be a multiple of num_attention_heads = %d where head_dim is not given", c.NumAttentionHeads)
			} else if c.QKHeadDim()%2 != 0 {
				k.fail("hidden_size", c.HiddenSize, "hidden_size / num_attention_heads = %d must be even for RoPE", c.QKHeadDim())
			}
		}
		return
	}
	if k.within("head_dim", c.HeadDim, 1, maxWidth) && c.HeadDim%2 != 0 {
		k.fail("head_dim", c.HeadDim, "must be even for RoPE")
	}
}

func (k *checker) mla(c Config) {
	k.isFalse("mlp_bias", c.MLPBias && c.ModelType == TypeDeepSeekV2, "biases in the FFN are not supported")
	if h := c.NumAttentionHeads; h > 0 && c.NumKeyValueHeads > 0 && c.NumKeyValueHeads != h && h%c.NumKeyValueHeads == 0 {
		k.fail("num_key_value_heads", c.NumKeyValueHeads,
			"must equal num_attention_heads = %d under multi-head latent attention", h)
	}
	k.within("q_lora_rank", c.QLoRARank, 0, maxWidth)
	k.within("kv_lora_rank", c.KVLoRARank, 1, maxWidth)
	k.within("qk_nope_head_dim", c.QKNopeHeadDim, 1, maxWidth)
	if k.within("qk_rope_head_dim", c.QKRopeHeadDim, 1, maxWidth) && c.QKRopeHeadDim%2 != 0 {
		k.fail("qk_rope_head_dim", c.QKRopeHeadDim, "must be even for RoPE")
	}
	k.within("v_head_dim", c.VHeadDim, 1, maxWidth)
}

func (k *checker) moe(c Config) {
	k.within("num_nextn_predict_layers", c.NumNextNPredictLayers, 0, maxLayers)
	if c.NRoutedExperts == 0 {
		return // without MoE layers, nothing below is used
	}
	experts := k.within("n_routed_experts", c.NRoutedExperts, 1, maxExperts)
	k.within("n_shared_experts", c.NSharedExperts, 0, maxExperts)
	topK := k.within("num_experts_per_tok", c.NumExpertsPerTok, 1, maxExperts)
	k.within("moe_intermediate_size", c.MoEIntermediateSize, 1, maxWidth)
	if c.FirstKDenseReplace < 0 || c.NumHiddenLayers > 0 && c.FirstKDenseReplace > c.NumHiddenLayers {
		k.fail("first_k_dense_replace", c.FirstKDenseReplace, "must be between 0 and num_hidden_layers = %d",
			c.NumHiddenLayers)
	}
	k.within("moe_layer_freq", c.MoELayerFreq, 1, maxLayers)
	k.oneOf("scoring_func", c.ScoringFunc, "sigmoid", "softmax")
	method := k.oneOf("topk_method", c.TopKMethod, "noaux_tc", "greedy", "group_limited_greedy")
	k.positive("routed_scaling_factor", c.RoutedScalingFactor)

	groups := k.within("n_group", c.NGroup, 1, maxExperts)
	kept := k.within("topk_group", c.TopKGroup, 1, maxExperts)
	if groups && experts && c.NRoutedExperts%c.NGroup != 0 {
		groups = k.fail("n_group", c.NGroup, "must divide n_routed_experts = %d", c.NRoutedExperts)
	}
	if groups && kept && c.TopKGroup > c.NGroup {
		kept = k.fail("topk_group", c.TopKGroup, "must be at most n_group = %d", c.NGroup)
	}
	if !groups || !experts {
		return
	}
	size := c.NRoutedExperts / c.NGroup
	if kept && topK && c.NumExpertsPerTok > c.TopKGroup*size {
		k.fail("num_experts_per_tok", c.NumExpertsPerTok, "must be at most topk_group · n_routed_experts / n_group = %d",
			c.TopKGroup*size)
	}
	if method && c.NGroup > 1 {
		switch {
		case c.TopKMethod == "greedy":
			k.fail("n_group", c.NGroup, "must be 1 when topk_method is greedy, which ignores groups")
		case c.TopKMethod == "noaux_tc" && size < 2:
			k.fail("n_group", c.NGroup,
				"noaux_tc scores a group by its two best experts, but n_routed_experts / n_group = %d", size)
		}
	}
}

func (k *checker) qwen3MoE(c Config) {
	if c.ModelType != TypeQwen3MoE || c.NRoutedExperts == 0 {
		return // without MoE layers, nothing below is used
	}
	experts := k.within("num_experts", c.NRoutedExperts, 1, maxExperts)
	topK := k.within("num_experts_per_tok", c.NumExpertsPerTok, 1, maxExperts)
	if experts && topK && c.NumExpertsPerTok > c.NRoutedExperts {
		k.fail("num_experts_per_tok", c.NumExpertsPerTok, "must be at most num_experts = %d", c.NRoutedExperts)
	}
	k.within("moe_intermediate_size", c.MoEIntermediateSize, 1, maxWidth)
	k.within("decoder_sparse_step", c.DecoderSparseStep, 1, maxLayers)
	seen := map[int]bool{}
	for _, l := range c.MLPOnlyLayers {
		if l < 0 || l >= c.NumHiddenLayers || seen[l] {
			k.fail("mlp_only_layers", c.MLPOnlyLayers, "must be different layers from 0 to num_hidden_layers - 1 = %d",
				c.NumHiddenLayers-1)
			return
		}
		seen[l] = true
	}
}
