package model

import (
	"strconv"
	"strings"
)

// These tables map tensor names of GGUF to those of Hugging Face.

// ggufGlobals are the tensors outside of the layers.
var ggufGlobals = [][2]string{
	{"token_embd.weight", "model.embed_tokens.weight"},
	{"output_norm.weight", "model.norm.weight"},
	{"output.weight", headName},
}

// ggufLayer are the tensors of layer L: "blk.L.NAME.weight" and
// "model.layers.L.NAME.weight", or with .bias in both.
var ggufLayer = [][2]string{
	{"attn_norm", "input_layernorm"},
	{"attn_q", "self_attn.q_proj"},
	{"attn_k", "self_attn.k_proj"},
	{"attn_v", "self_attn.v_proj"},
	{"attn_q_norm", "self_attn.q_norm"},
	{"attn_k_norm", "self_attn.k_norm"},
	{"attn_q_a", "self_attn.q_a_proj"},
	{"attn_q_a_norm", "self_attn.q_a_layernorm"},
	{"attn_q_b", "self_attn.q_b_proj"},
	{"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
	{"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
	{"attn_kv_b", "self_attn.kv_b_proj"},
	{"attn_output", "self_attn.o_proj"},
	{"ffn_norm", "post_attention_layernorm"},
	{"ffn_gate", "mlp.gate_proj"},
	{"ffn_up", "mlp.up_proj"},
	{"ffn_down", "mlp.down_proj"},
	{"ffn_gate_inp", "mlp.gate"},
	{"ffn_gate_exps", "mlp.experts.*.gate_proj"}, // stacked; * stands for the number of the expert
	{"ffn_up_exps", "mlp.experts.*.up_proj"},
	{"ffn_down_exps", "mlp.experts.*.down_proj"},
	{"ffn_gate_shexp", "mlp.shared_experts.gate_proj"},
	{"ffn_up_shexp", "mlp.shared_experts.up_proj"},
	{"ffn_down_shexp", "mlp.shared_experts.down_proj"},
}

// The selection bias of a gate does not end in .weight or .bias in both formats.
const (
	ggufGateBias = "exp_probs_b.bias"
	gateBias     = "mlp.gate.e_score_correction_bias"
)

// fromGGUFName returns the name that a tensor has in Hugging Face's checkpoints, with * for
// the number of the expert if it is a stack. ok is false for a tensor that only GGUF has.
func fromGGUFName(name string) (hf string, ok bool) {
	for _, row := range ggufGlobals {
		if row[0] == name {
			return row[1], true
		}
	}
	layer, rest, ok := cutLayer(name, "blk.")
	if !ok {
		return "", false
	}
	prefix := "model.layers." + layer + "."
	if rest == ggufGateBias {
		return prefix + gateBias, true
	}
	base, ending, ok := cutEnding(rest)
	for _, row := range ggufLayer {
		if ok && row[0] == base {
			return prefix + row[1] + ending, true
		}
	}
	return "", false
}

// toGGUFName returns the GGUF name of a Hugging Face tensor and the number of its expert,
// −1 if it does not belong to an expert.
func toGGUFName(name string) (gguf string, expert int, ok bool) {
	for _, row := range ggufGlobals {
		if row[1] == name {
			return row[0], -1, true
		}
	}
	layer, rest, ok := cutLayer(name, "model.layers.")
	if !ok {
		return "", -1, false
	}
	prefix := "blk." + layer + "."
	if rest == gateBias {
		return prefix + ggufGateBias, -1, true
	}
	expert = -1
	if after, ok := strings.CutPrefix(rest, "mlp.experts."); ok {
		number, matrix, _ := strings.Cut(after, ".")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || strconv.Itoa(n) != number {
			return "", -1, false
		}
		expert, rest = n, "mlp.experts.*."+matrix
	}
	base, ending, ok := cutEnding(rest)
	for _, row := range ggufLayer {
		if ok && row[1] == base {
			return prefix + row[0] + ending, expert, true
		}
	}
	return "", -1, false
}

// cutLayer splits name into the prefix, the number of the layer, and the rest.
func cutLayer(name, prefix string) (layer, rest string, ok bool) {
	after, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return "", "", false
	}
	layer, rest, ok = strings.Cut(after, ".")
	n, err := strconv.Atoi(layer)
	return layer, rest, ok && err == nil && n >= 0 && strconv.Itoa(n) == layer
}

// cutEnding splits off ".weight" or ".bias".
func cutEnding(name string) (base, ending string, ok bool) {
	for _, ending := range []string{".weight", ".bias"} {
		if base, ok := strings.CutSuffix(name, ending); ok {
			return base, ending, true
		}
	}
	return "", "", false
}
