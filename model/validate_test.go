package model

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func faults(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error) []FieldError {
	t.Helper()
	e, ok := errors.AsType[*ConfigError](err)
	if !ok {
		t.Fatalf("want a *ConfigError, got %v", err)
	}
	return e.Fields
}

func names(fields []FieldError, key string) bool {
	return slices.ContainsFunc(fields, func(f FieldError) bool { return f.Key == key })
}

func extra(key, value string) map[string]json.RawMessage {
	return map[string]json.RawMessage{key: json.RawMessage(value)}
}

func TestValidateNamesEachContradiction(t *testing.T) {
	for _, c := range []struct {
		name   string
		base   func() Config
		break_ func(*Config)
		key    string
		rule   string // a part of the rule
	}{
		{"unknown type", tiny, func(c *Config) { c.ModelType = "gpt2" }, "model_type", "must be one of"},
		{"heads do not divide", R1DistillQwen7B, func(c *Config) { c.NumKeyValueHeads = 3 }, "num_key_value_heads",
			"must divide"},
		{"grouped heads under MLA", tiny, func(c *Config) { c.NumKeyValueHeads = 2 }, "num_key_value_heads", "must equal"},
		{"odd rope", tiny, func(c *Config) { c.QKRopeHeadDim = 15 }, "qk_rope_head_dim", "even"},
		{"odd head", R1DistillLlama8B, func(c *Config) { c.HeadDim = 127 }, "head_dim", "even"},
		{"odd implied head", R1DistillQwen7B, func(c *Config) { c.HiddenSize = 28 * 127 }, "hidden_size", "even"},
		{"indivisible width", R1DistillQwen7B, func(c *Config) { c.HiddenSize = 3585 }, "hidden_size", "multiple"},
		{"qwen3 without head", R1DistillQwen7B, func(c *Config) { c.ModelType = TypeQwen3 }, "head_dim", "must be given"},
		{"zero width", tiny, func(c *Config) { c.KVLoRARank = 0 }, "kv_lora_rank", "must be positive"},
		{"negative rank", tiny, func(c *Config) { c.QLoRARank = -1 }, "q_lora_rank", "between 0"},
		{"activation", tiny, func(c *Config) { c.HiddenAct = "gelu" }, "hidden_act", "silu"},
		{"scoring", tiny, func(c *Config) { c.ScoringFunc = "tanh" }, "scoring_func", "must be one of"},
		{"top-k method", tiny, func(c *Config) { c.TopKMethod = "random" }, "topk_method", "must be one of"},
		{"groups do not divide", DeepSeekV3, func(c *Config) { c.NGroup = 7 }, "n_group", "must divide"},
		{"too many groups kept", DeepSeekV3, func(c *Config) { c.TopKGroup = 9 }, "topk_group", "at most n_group = 8"},
		{"top-k beyond kept groups", DeepSeekV3, func(c *Config) { c.NumExpertsPerTok = 129 }, "num_experts_per_tok",
			"= 128"},
		{"groups of one", tiny, func(c *Config) { c.NGroup, c.TopKGroup = 8, 8 }, "n_group", "two best"},
		{"greedy with groups", DeepSeekV2Lite, func(c *Config) { c.NGroup = 8 }, "n_group", "greedy"},
		{"more dense layers than layers", tiny, func(c *Config) { c.FirstKDenseReplace = 5 }, "first_k_dense_replace",
			"num_hidden_layers = 4"},
		{"eos outside vocabulary", tiny, func(c *Config) { c.EOSTokenID = TokenIDs{1, 32} }, "eos_token_id",
			"below vocab_size = 32"},
		{"negative bos", tiny, func(c *Config) { c.BOSTokenID = TokenIDs{-1} }, "bos_token_id", "at least 0"},
		{"sliding window", R1DistillQwen7B, func(c *Config) { c.SlidingWindow = true }, "use_sliding_window",
			"must be false"},
		{"attention bias", R1DistillLlama8B, func(c *Config) { c.AttentionBias = true }, "attention_bias", "must be false"},
		{"mlp bias", R1DistillLlama8B, func(c *Config) { c.MLPBias = true }, "mlp_bias", "must be false"},
		{"experts in a dense type", R1DistillLlama8B, func(c *Config) { c.NRoutedExperts = 8 }, "n_routed_experts", "absent"},
		{"head_dim under MLA", tiny, func(c *Config) { c.HeadDim = 32 }, "head_dim", "absent"},
		{"NaN eps", tiny, func(c *Config) { c.RMSNormEps = math.NaN() }, "rms_norm_eps", "positive"},
		{"eps below float32", tiny, func(c *Config) { c.RMSNormEps = 1e-60 }, "rms_norm_eps", "float32"},
		{"infinite scale", tiny, func(c *Config) { c.RoutedScalingFactor = math.Inf(1) }, "routed_scaling_factor", "finite"},
		{"theta", tiny, func(c *Config) { c.RoPETheta = 1 }, "rope_theta", "above 1"},
		{"rope type", DeepSeekV3, func(c *Config) { c.RoPEScaling.Type = "dynamic" }, "rope_scaling.type", "yarn, llama3"},
		{"rope factor", DeepSeekV3, func(c *Config) { c.RoPEScaling.Factor = .5 }, "rope_scaling.factor", "at least 1"},
		{"betas swapped", DeepSeekV3, func(c *Config) { c.RoPEScaling.BetaFast = 1 }, "rope_scaling.beta_fast",
			"beta_slow = 1"},
		{"llama3 factors swapped", R1DistillLlama8B, func(c *Config) { c.RoPEScaling.LowFreqFactor = 5 },
			"rope_scaling.high_freq_factor", "= 5"},
		{"yarn key in llama3", R1DistillLlama8B, func(c *Config) { c.RoPEScaling.MScale = 1 }, "rope_scaling.mscale",
			"absent"},
		{"experts beyond num_experts", Qwen3_30B_A3B, func(c *Config) { c.NumExpertsPerTok = 129 }, "num_experts_per_tok",
			"num_experts = 128"},
		{"layer that is none", Qwen3_30B_A3B, func(c *Config) { c.MLPOnlyLayers = []int{48} }, "mlp_only_layers", "= 47"},
		{"layer twice", Qwen3_30B_A3B, func(c *Config) { c.MLPOnlyLayers = []int{3, 3} }, "mlp_only_layers", "different"},
		{"groups in Qwen3", Qwen3_30B_A3B, func(c *Config) { c.NGroup = 8 }, "n_group", "absent"},
		{"FFN biases in V2", DeepSeekV2Lite, func(c *Config) { c.MLPBias = true }, "mlp_bias", "must be false"},
		{"field in Extra", tiny, func(c *Config) { c.Extra = extra("hidden_size", "1") }, "hidden_size", "Extra"},
		{"alias in Extra", tiny, func(c *Config) { c.Extra = extra("dtype", `"int8"`) }, "dtype", "Extra"},
		{"fixed key in Extra", tiny, func(c *Config) { c.Extra = extra("is_causal", "true") }, "is_causal", "Extra"},
		{"no JSON in Extra", tiny, func(c *Config) { c.Extra = extra("zeta", "{") }, "zeta", "JSON"},
		{"rope field in Extra", DeepSeekV3, func(c *Config) { c.Extra = extra("rope_scaling", `{"factor": 2}`) },
			"rope_scaling.factor", "Extra"},
		{"no object in Extra", DeepSeekV3, func(c *Config) { c.Extra = extra("quantization_config", `[]`) },
			"quantization_config", "object"},
		{"quantisation in Extra alone", tiny, func(c *Config) { c.Extra = extra("quantization_config", `{"a": 1}`) },
			"quantization_config", "without Quantization"},
		{"attention factor", DeepSeekV3, func(c *Config) { c.RoPEScaling.AttentionFactor = -1 },
			"rope_scaling.attention_factor", "positive"},
		{"dtype", tiny, func(c *Config) { c.DType = "int8" }, "torch_dtype", "bfloat16"},
		{"block size", DeepSeekV3, func(c *Config) { c.Quantization.WeightBlockSize = []int{128} },
			"quantization_config.weight_block_size", "two positive"},
		{"quantisation method", DeepSeekV3, func(c *Config) { c.Quantization.QuantMethod = "gptq" },
			"quantization_config.quant_method", "fp8"},
		{"more parameters than fit", DeepSeekV3, func(c *Config) {
			c.HiddenSize, c.MoEIntermediateSize, c.NumHiddenLayers = maxWidth, maxWidth, maxLayers
		}, "num_hidden_layers", "2^62"},
	} {
		config := c.base()
		c.break_(&config)
		found := faults(t, config.Validate())
		i := slices.IndexFunc(found, func(f FieldError) bool { return f.Key == c.key })
		if i < 0 || !strings.Contains(found[i].Rule, c.rule) {
			t.Errorf("%s: want %s: …%s…, got %v", c.name, c.key, c.rule, found)
		} else if len(found) != 1 {
			t.Errorf("%s: one field is wrong, but %d faults are reported: %v", c.name, len(found), found)
		}
	}
}

func TestValidateReportsEveryFaultAtOnce(t *testing.T) {
	c := DeepSeekV3()
	c.HiddenSize, c.VHeadDim, c.TopKGroup, c.HiddenAct = 0, -3, 9, "relu"
	c.RoPEScaling.Factor = 0
	found := faults(t, c.Validate())
	for _, key := range []string{"hidden_size", "v_head_dim", "topk_group", "hidden_act", "rope_scaling.factor"} {
		if !names(found, key) {
			t.Errorf("%s is not named in %v", key, found)
		}
	}
	if len(found) != 5 {
		t.Errorf("5 fields are wrong, %d faults reported: %v", len(found), found)
	}
}

func TestZeroConfigNamesItsDimensions(t *testing.T) {
	found := faults(t, Config{ModelType: TypeDeepSeekV3}.Validate())
	for _, key := range []string{"vocab_size", "hidden_size", "num_hidden_layers", "kv_lora_rank", "qk_rope_head_dim",
		"rope_theta", "rms_norm_eps"} {
		if !names(found, key) {
			t.Errorf("%s is not named in %v", key, found)
		}
	}
}

// If one field of a preset is set to an invalid value, Validate returns an error that names
// the field.
func TestOneCorruptedFieldIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		preset := rapid.SampledFrom(presets).Draw(t, "preset")
		c := preset.config()
		var fields []int
		v := reflect.ValueOf(&c).Elem()
		for i := range v.NumField() {
			switch v.Type().Field(i).Type.Kind() {
			case reflect.Int, reflect.Float64, reflect.String:
				fields = append(fields, i)
			}
		}
		i := rapid.SampledFrom(fields).Draw(t, "field")
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Int:
			f.SetInt(rapid.OneOf(rapid.Int64Max(-1), rapid.Int64Min(maxVocab+1)).Draw(t, "value"))
		case reflect.Float64:
			f.SetFloat(rapid.OneOf(rapid.Float64Max(-1e-9), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1),
				1e300})).Draw(t, "value"))
		case reflect.String:
			f.SetString(rapid.StringMatching(`x[a-z]{0,8}`).Draw(t, "value"))
		}
		key := jsonKey(v.Type().Field(i), c.ModelType)
		if found := faults(t, c.Validate()); !names(found, key) {
			t.Fatalf("%s with %s = %v: the error does not name it: %v", preset.name, key, f, found)
		}
	})
}
