package model

import (
	"iter"
	"reflect"
	"strings"
)

// Keys of the nested objects.
const (
	ropeKey         = "rope_scaling"
	quantizationKey = "quantization_config"
)

// architectures names the transformers class of each model type.
var architectures = map[string]string{
	TypeDeepSeekV3: "DeepseekV3ForCausalLM",
	TypeDeepSeekV2: "DeepseekV2ForCausalLM",
	TypeQwen2:      "Qwen2ForCausalLM",
	TypeQwen3:      "Qwen3ForCausalLM",
	TypeQwen3MoE:   "Qwen3MoeForCausalLM",
	TypeLlama:      "LlamaForCausalLM",
}

// keyAliases lists other names of keys by model type, with "" for all types: names in
// transformers 5, and names of attributes of its classes.
var keyAliases = map[string][][2]string{
	"":             {{"dtype", "torch_dtype"}, {"rope_parameters", ropeKey}},
	TypeDeepSeekV3: {{"num_local_experts", "n_routed_experts"}, {"num_mtp_layers", "num_nextn_predict_layers"}},
	TypeDeepSeekV2: {{"num_local_experts", "n_routed_experts"}, {"num_experts", "n_routed_experts"}},
	TypeQwen3MoE:   {{"num_local_experts", "num_experts"}},
}

// aliasesOf lists the other names of keys in files of a model type.
func aliasesOf(modelType string) [][2]string {
	common := keyAliases[""]
	if modelType == "" {
		return common
	}
	return append(common[:len(common):len(common)], keyAliases[modelType]...)
}

// mayBeNull lists the keys for which null means the zero value: none, or false.
var mayBeNull = setOf(
	"q_lora_rank", "head_dim", "n_routed_experts", "n_shared_experts", "num_experts", "num_experts_per_tok",
	"n_group", "topk_group", "mlp_only_layers", "norm_topk_prob", "num_key_value_heads", "bos_token_id", "eos_token_id",
	"torch_dtype",
	"rope_scaling.attention_factor", "rope_scaling.beta_fast", "rope_scaling.beta_slow", "rope_scaling.mscale",
	"rope_scaling.mscale_all_dim", "quantization_config.scale_fmt",
)

// writtenAsNull lists the keys that MarshalJSON writes as null if the value is zero.
var writtenAsNull = setOf("q_lora_rank", "bos_token_id", "eos_token_id")

// mayBeAbsent lists the keys that a config.json may lack, because transformers omits them
// or the model type implies them. The comments of [Config] say what absence means.
var mayBeAbsent = setOf(
	"tie_word_embeddings", "rope_theta", "rope_scaling", "rope_interleave", "head_dim", "attention_bias", "mlp_bias",
	"use_sliding_window", "moe_layer_freq", "decoder_sparse_step", "mlp_only_layers", "scoring_func", "topk_method",
	"num_nextn_predict_layers", "bos_token_id", "eos_token_id", "torch_dtype", "quantization_config",
)

// droppedKeys are not kept in Extra: MarshalJSON writes architectures itself, and the
// transformers_version of the original file would be wrong.
var droppedKeys = setOf("architectures", "transformers_version")

// harmlessKeys do not change what the model computes: locations of files and classes,
// training hints, generation defaults, Python options. sliding_window and max_window_layers
// have an effect only with use_sliding_window, which must be false. A key of a nested
// object has the form object.key.
var harmlessKeys = setOf(
	"auto_map", "name_or_path", "_name_or_path", "_commit_hash", "_attn_implementation_autoset", "attn_implementation",
	"experts_implementation", "use_cache", "gradient_checkpointing", "ep_size", "pretraining_tp", "aux_loss_alpha",
	"seq_aux", "router_aux_loss_coef", "output_router_logits", "output_attentions", "output_hidden_states", "return_dict",
	"tie_last_hidden_states", "pad_token_id", "sep_token_id", "sliding_window", "max_window_layers", "is_decoder",
	"is_encoder_decoder", "add_cross_attention", "cross_attention_hidden_size", "tie_encoder_decoder",
	"decoder_start_token_id", "torchscript", "tf_legacy_loss", "use_bfloat16", "chunk_size_feed_forward", "id2label",
	"label2id", "num_labels", "problem_type", "finetuning_task", "task_specific_params", "tokenizer_class", "prefix",
	// Generation defaults, which transformers before 4.57 wrote here.
	"max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty",
	"temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
	"encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate",
	"forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
	"suppress_tokens", "begin_suppress_tokens",
	// These list the tensors that are FP8, which the dtypes of the tensors also show.
	"quantization_config.modules_to_not_convert", "quantization_config.modules_to_convert",
	"quantization_config.ignored_layers", "quantization_config.dequantize",
)

func setOf(keys ...string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return set
}

// configFields returns the fields of a Config that have keys of their own, with their
// values.
func configFields(v reflect.Value) iter.Seq2[reflect.StructField, reflect.Value] {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		for f, v := range v.Fields() {
			if f.Tag.Get("json") != "-" && !yield(f, v) {
				return
			}
		}
	}
}

// inFamily reports whether models of a type have the field. The tag family is a list of
// "mla", "gqa" and model types; without the tag, all types have the field.
func inFamily(f reflect.StructField, modelType string) bool {
	tag := f.Tag.Get("family")
	if tag == "" {
		return true
	}
	attention := "gqa"
	if (Config{ModelType: modelType}).IsMLA() {
		attention = "mla"
	}
	for t := range strings.SplitSeq(tag, ",") {
		if t == attention || t == modelType {
			return true
		}
	}
	return false
}

// jsonKey returns the key of a field in files of a model type.
func jsonKey(f reflect.StructField, modelType string) string {
	if key, ok := f.Tag.Lookup(modelType); ok {
		return key
	}
	return f.Tag.Get("json")
}
