package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/aha-go/aha/model/gguf"
)

// ggufKeys returns the metadata of a GGUF file for a model, which ggufConfig can read back.
func ggufKeys(c Config, o GGUFOptions) (gguf.Metadata, error) {
	arch := map[string]string{
		TypeLlama: "llama", TypeQwen2: "qwen2", TypeQwen3: "qwen3", TypeQwen3MoE: "qwen3moe", TypeDeepSeekV2: "deepseek2",
		TypeDeepSeekV3: "deepseek2",
	}[c.ModelType]
	if err := fitsGGUF(c); err != nil {
		return nil, err
	}
	fileType := uint32(1) // MOSTLY_F16
	if o.Type == gguf.Q8_0 {
		fileType = 7
	}
	m := gguf.Metadata{
		{Key: "general.architecture", Value: arch}, {Key: "general.file_type", Value: fileType},
		{Key: "general.quantization_version", Value: uint32(2)},
	}
	count := func(key string, n int) { m = append(m, gguf.KeyValue{Key: arch + "." + key, Value: uint32(n)}) }
	float := func(key string, x float64) { m = append(m, gguf.KeyValue{Key: arch + "." + key, Value: float32(x)}) }
	count("block_count", c.NumHiddenLayers)
	count("context_length", c.MaxPositionEmbeddings)
	count("embedding_length", c.HiddenSize)
	count("feed_forward_length", c.IntermediateSize)
	count("attention.head_count", c.NumAttentionHeads)
	count("attention.head_count_kv", c.NumKeyValueHeads)
	float("attention.layer_norm_rms_epsilon", c.RMSNormEps)
	float("rope.freq_base", c.RoPETheta)
	count("rope.dimension_count", c.RoPEDim())
	count("vocab_size", c.VocabSize)
	count("attention.key_length", c.QKHeadDim())
	if c.IsMLA() {
		if c.QLoRARank > 0 {
			count("attention.q_lora_rank", c.QLoRARank)
		}
		count("attention.kv_lora_rank", c.KVLoRARank)
		count("attention.value_length", c.VHeadDim)
	} else {
		count("attention.value_length", c.QKHeadDim())
	}
	if c.NRoutedExperts > 0 {
		count("expert_count", c.NRoutedExperts)
		count("expert_used_count", c.NumExpertsPerTok)
		count("expert_feed_forward_length", c.MoEIntermediateSize)
	}
	if c.IsMLA() && c.NRoutedExperts > 0 {
		gating := ggufSoftmax
		if c.ScoringFunc == "sigmoid" {
			gating = ggufSigmoid
		}
		count("expert_gating_func", gating)
		count("leading_dense_block_count", c.FirstKDenseReplace)
		count("expert_shared_count", c.NSharedExperts)
		count("expert_group_count", c.NGroup)
		count("expert_group_used_count", c.TopKGroup)
		float("expert_weights_scale", c.RoutedScalingFactor)
		m = append(m, gguf.KeyValue{Key: arch + ".expert_weights_norm", Value: c.NormTopKProb})
	}
	if s := c.RoPEScaling; s != nil && s.Type == "yarn" {
		m = append(m, gguf.KeyValue{Key: arch + ".rope.scaling.type", Value: "yarn"})
		float("rope.scaling.factor", s.Factor)
		count("rope.scaling.original_context_length", s.OriginalMaxPositionEmbeddings)
		float("rope.scaling.yarn_beta_fast", s.BetaFast)
		float("rope.scaling.yarn_beta_slow", s.BetaSlow)
		if c.IsMLA() {
			float("rope.scaling.yarn_log_multiplier", s.MScaleAllDim/10)
		}
	}
	return withTokens(m, c, o.Metadata)
}

// withTokens adds the special tokens of the config and further metadata, which takes
// precedence.
func withTokens(m gguf.Metadata, c Config, further gguf.Metadata) (gguf.Metadata, error) {
	add := func(key string, value any) {
		if !further.Has(key) {
			m = append(m, gguf.KeyValue{Key: key, Value: value})
		}
	}
	if len(c.BOSTokenID) > 0 {
		add("tokenizer.ggml.bos_token_id", uint32(c.BOSTokenID[0]))
	}
	eos, err := endsOf(c, further)
	if err != nil {
		return nil, err
	}
	for i, key := range []string{ggufEOS, ggufEOT} {
		if i < len(eos) {
			add(key, uint32(eos[i]))
		}
	}
	add("tokenizer.ggml.model", "no_vocab")
	m = append(m, further...)
	return m, gguf.Write(io.Discard, m, nil) // reports duplicate keys and values of unsupported types
}

// Keys of the tokens that end a text and a turn.
const (
	ggufEOS = "tokenizer.ggml.eos_token_id"
	ggufEOT = "tokenizer.ggml.eot_token_id"
)

// endsOf returns the tokens that end a text: the eos_token_id of further metadata, if any,
// and of the config.
func endsOf(c Config, further gguf.Metadata) ([]int, error) {
	if !further.Has(ggufEOS) {
		return c.EOSTokenID, nil
	}
	first, err := further.Int(ggufEOS)
	rest := slices.DeleteFunc(slices.Clone(c.EOSTokenID), func(id int) bool { return id == first })
	return append([]int{first}, rest...), err
}

// fitsGGUF returns an error for a config that GGUF has no keys for.
func fitsGGUF(c Config) error {
	no := func(key string, value any) error {
		return fmt.Errorf("GGUF has no key for %s = %v", key, value)
	}
	switch {
	case c.IsMLA() && !c.RoPEInterleave:
		return no("rope_interleave", false)
	case c.IsMLA() && c.NRoutedExperts > 0 && c.MoELayerFreq != 1:
		return no("moe_layer_freq", c.MoELayerFreq)
	case c.IsMLA() && c.NRoutedExperts > 0 && (c.ScoringFunc == "sigmoid") != (c.ModelType == TypeDeepSeekV3):
		return no("scoring_func", c.ScoringFunc)
	case c.IsMLA() && c.NRoutedExperts > 0 && (c.TopKMethod == "noaux_tc") != (c.ModelType == TypeDeepSeekV3):
		return no("topk_method", c.TopKMethod)
	case c.ModelType == TypeQwen3MoE && (c.DecoderSparseStep != 1 || len(c.MLPOnlyLayers) > 0 || c.NRoutedExperts == 0):
		return errors.New("GGUF has no key for layers of qwen3_moe without experts")
	case c.ModelType == TypeQwen3MoE && !c.NormTopKProb:
		return no("norm_topk_prob", false)
	}
	s := c.RoPEScaling
	switch {
	case s == nil:
	case s.Type == "llama3" && c.ModelType != TypeLlama:
		return no("rope_scaling.type", s.Type)
	case s.AttentionFactor != 0:
		return no("rope_scaling.attention_factor", s.AttentionFactor)
	case s.Truncate != nil && !*s.Truncate:
		return no("rope_scaling.truncate", false)
	case s.Type == "yarn" && c.IsMLA() && (s.MScale != s.MScaleAllDim || s.MScale == 0):
		return no("rope_scaling.mscale", fmt.Sprint(s.MScale, " beside mscale_all_dim = ", s.MScaleAllDim))
	case s.Type == "yarn" && !c.IsMLA() && (s.MScale != 0 || s.MScaleAllDim != 0):
		return no("rope_scaling.mscale", s.MScale)
	}
	return nil
}

// ropeFactors returns the tensor of factors that multiply RoPE's wavelengths.
func (s *RoPEScaling) ropeFactors(c Config) gguf.Tensor {
	factors := s.llama3Factors(c.RoPETheta, c.RoPEDim()/2)
	return gguf.Tensor{Name: ropeFactors, Type: gguf.F32, Shape: []int{len(factors)}, Stream: func(w io.Writer) error {
		data := make([]byte, 4*len(factors))
		for i, f := range factors {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(f)))
		}
		_, err := w.Write(data)
		return err
	}}
}
