"""Writes gguf/NAME.gguf from golden/NAME, for models of each architecture. The package gguf
(0.19.0) maps Hugging Face's tensor names to those of GGUF. Keys, the order of rows, and the
split of kv_b_proj in two follow llama.cpp's convert_hf_to_gguf.py.

    pip install gguf torch safetensors && python generate_gguf.py
"""
import json
import math
import os

import numpy as np
from gguf import (ExpertGatingFuncType, GGMLQuantizationType, GGUFWriter, MODEL_ARCH, RopeScalingType,
                  get_tensor_name_map)
from safetensors.torch import load_file

here = os.path.dirname(os.path.abspath(__file__))
CASES = {"llama3_scaling": MODEL_ARCH.LLAMA, "qwen2_tied": MODEL_ARCH.QWEN2, "qwen3": MODEL_ARCH.QWEN3,
         "deepseek_v2_groups": MODEL_ARCH.DEEPSEEK2, "deepseek_v3_groups_yarn": MODEL_ARCH.DEEPSEEK2}


def permute(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write(name, arch):
    c = json.load(open(f"{here}/golden/{name}/config.json"))
    t = {k: v.float().numpy() for k, v in load_file(f"{here}/golden/{name}/model.safetensors").items()}
    layers, heads, kv = c["num_hidden_layers"], c["num_attention_heads"], c["num_key_value_heads"]
    w = GGUFWriter(f"{here}/gguf/{name}.gguf", {MODEL_ARCH.LLAMA: "llama", MODEL_ARCH.QWEN2: "qwen2",
                   MODEL_ARCH.QWEN3: "qwen3", MODEL_ARCH.DEEPSEEK2: "deepseek2"}[arch])
    w.add_block_count(layers)
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_theta"])
    w.add_vocab_size(c["vocab_size"])
    w.add_bos_token_id(c["bos_token_id"])
    w.add_eos_token_id(c["eos_token_id"])
    scaling = c.get("rope_scaling") or {}
    split = name == "deepseek_v3_groups_yarn"
    if arch == MODEL_ARCH.DEEPSEEK2:
        v3 = c["model_type"] == "deepseek_v3"
        rank, nope, rope, value = (c[k] for k in ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
        w.add_q_lora_rank(c["q_lora_rank"])
        w.add_kv_lora_rank(rank)
        w.add_key_length(rank + rope if split else nope + rope)
        w.add_value_length(rank if split else value)
        if split:
            w.add_key_length_mla(nope + rope)
            w.add_value_length_mla(value)
        w.add_rope_dimension_count(rope)
        w.add_leading_dense_block_count(c["first_k_dense_replace"])
        w.add_expert_count(c["n_routed_experts"])
        w.add_expert_used_count(c["num_experts_per_tok"])
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])
        w.add_expert_shared_count(c["n_shared_experts"])
        w.add_expert_weights_scale(c["routed_scaling_factor"])
        w.add_expert_weights_norm(c["norm_topk_prob"])
        w.add_expert_gating_func(ExpertGatingFuncType.SIGMOID if v3 else ExpertGatingFuncType.SOFTMAX)
        w.add_expert_group_count(c["n_group"])
        w.add_expert_group_used_count(c["topk_group"])
    else:
        w.add_key_length(c.get("head_dim") or c["hidden_size"] // heads)
        w.add_value_length(c.get("head_dim") or c["hidden_size"] // heads)
    kind = scaling.get("rope_type") or scaling.get("type")
    if kind == "yarn":
        w.add_rope_scaling_type(RopeScalingType.YARN)
        w.add_rope_scaling_factor(scaling["factor"])
        w.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        w.add_rope_scaling_yarn_beta_fast(scaling["beta_fast"])
        w.add_rope_scaling_yarn_beta_slow(scaling["beta_slow"])
        w.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])
    elif kind == "llama3":
        d, old, factor = c["head_dim"], scaling["original_max_position_embeddings"], scaling["factor"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        factors = []
        for i in range(0, d, 2):
            wave = 2 * math.pi * c["rope_theta"] ** (i / d)
            smooth = min(max((old / wave - low) / (high - low), 0), 1)
            factors.append(1 / ((1 - smooth) / factor + smooth))
        w.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))

    if c["tie_word_embeddings"]:
        t.pop("lm_head.weight", None)
    for k in [k for k in t if ".experts.0." in k]:
        t[k.replace(".experts.0.", ".experts.")] = np.stack(
            [t.pop(k.replace(".experts.0.", f".experts.{e}.")) for e in range(c["n_routed_experts"])])
    names = get_tensor_name_map(arch, layers)
    for k, v in t.items():
        if arch == MODEL_ARCH.LLAMA and k.endswith(("q_proj.weight", "k_proj.weight")):
            v = permute(v, heads if k.endswith("q_proj.weight") else kv)
        if k.endswith("e_score_correction_bias"):
            k = k.replace("e_score_correction_bias", "e_score_correction.bias")
        if split and k.endswith("kv_b_proj.weight"):
            both = v.reshape(heads, nope + value, rank)
            parts = [(k.replace("kv_b_proj", "k_b_proj"), both[:, :nope].swapaxes(1, 2)),
                     (k.replace("kv_b_proj", "v_b_proj"), both[:, nope:])]
        else:
            parts = [(k, v)]
        for k, v in parts:
            v = np.ascontiguousarray(v)
            small = v.ndim == 1 or k.endswith("mlp.gate.weight")
            kind = GGMLQuantizationType.F32 if small else GGMLQuantizationType.BF16
            new = names.get_name(k, try_suffixes=(".weight", ".bias"))
            assert new, k
            data = v if small else (v.view(np.uint32) >> 16).astype(np.uint16)
            w.add_tensor(new, data if small else data.view(np.uint8), raw_dtype=None if small else kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


os.makedirs(f"{here}/gguf", exist_ok=True)
for name, arch in CASES.items():
    write(name, arch)
