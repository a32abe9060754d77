#!/usr/bin/env python3
"""Writes config/<major version>_<case>.json with transformers, and checks what aha writes.

    python config.py write           with transformers 4.57.1 and with 5.24.0
    go test ./model -run TestConfigsOfTransformers -update    writes config/written
    python config.py check           with each of the two versions again

check uses AutoConfig to read the files that aha wrote from the fixtures of both versions, and compares all attributes
with those of the fixture of the running version. It also reads the files of the presets. It prints one line per file and
exits with status 1 if there is a difference.
"""

import json
import pathlib
import sys

import transformers

HERE = pathlib.Path(__file__).parent / "config"
MAJOR = transformers.__version__.split(".")[0]

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
SMALL = {"vocab_size": 48, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 4, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1}
MLA = SMALL | {"q_lora_rank": None, "kv_lora_rank": 12, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 6,
               "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
               "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2}
GQA = SMALL | {"num_key_value_heads": 2}
CASES = {
    "deepseek_v3": MLA | {"rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 1.0}},
    "deepseek_v3_all_dim": MLA | {"rope_scaling": YARN | {"mscale_all_dim": 1.0}},
    "deepseek_v3_query": MLA | {"q_lora_rank": 20, "rope_interleave": False, "dtype": "bfloat16"},
    "deepseek_v2": MLA | {"topk_method": "group_limited_greedy", "routed_scaling_factor": 16.0},
    "deepseek_v2_lite": MLA | {"n_group": None, "topk_group": None, "rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}},
    "qwen2": GQA | {"tie_word_embeddings": True, "eos_token_id": [1, 2]},
    "qwen2_yarn": GQA | {"rope_scaling": YARN | {"attention_factor": 1.0, "truncate": False}},
    "qwen3": GQA | {"head_dim": 12, "rope_theta": 1000000.0},
    "qwen3_moe": GQA | {"head_dim": 12, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
                        "norm_topk_prob": True, "decoder_sparse_step": 2, "mlp_only_layers": [0]},
    "llama": GQA | {"head_dim": 12, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}},
}


def model_type(case):
    return next(t for t in ("deepseek_v3", "deepseek_v2", "qwen2", "qwen3_moe", "qwen3", "llama") if case.startswith(t))


def write():
    for case, keys in CASES.items():
        config = transformers.AutoConfig.for_model(model_type(case), **json.loads(json.dumps(keys)))
        (HERE / f"{MAJOR}_{case}.json").write_text(config.to_json_string())


def fields(path):
    config = transformers.AutoConfig.from_pretrained(path).to_dict()
    rope = config.get("rope_parameters") or config.get("rope_scaling")
    for key in ("transformers_version", "architectures", "_name_or_path", "rope_scaling"):
        config.pop(key, None)
    for key in ("n_group", "topk_group"):  # no grouping
        if key in config:
            config[key] = config[key] or 1
    if rope:  # compare the numbers under either name, with the defaults of YaRN
        rope.pop("type", None)
        if rope["rope_type"] == "yarn":
            rope = {"beta_fast": 32.0, "beta_slow": 1.0} | rope
        config["rope_parameters"] = rope
    return config


def check():
    wrong = 0
    for path in sorted((HERE / "written").glob("*.json")):
        got, note = fields(path), "read"
        major, _, case = path.stem.partition("_")
        if case in CASES:
            want = fields(HERE / f"{MAJOR}_{case}.json")
            if major != MAJOR:
                want.pop("num_nextn_predict_layers", None)  # version 4 does not have it, and version 5 defaults to 1
            # Keys that the type's class does not define become attributes too.
            differ = [f"{k}: {got.get(k)!r}, want {want[k]!r}" for k in want
                      if got.get(k) != want[k] or type(got.get(k)) is not type(want[k])]
            wrong += bool(differ)
            note = "; ".join(differ) or "same"
        print(f"transformers {transformers.__version__}: {path.name}: {note}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]]()
