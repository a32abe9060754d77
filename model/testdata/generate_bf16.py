#!/usr/bin/env python3
"""Writes golden/<case>/bf16.safetensors for the cases named below.

transformers' own classes run in bfloat16, weights and activations alike, on the
weights and sequences that generate.py wrote (the weights are bfloat16 numbers):
logits F32 [sum T, V], rows of all sequences, one after the other.

    pip install torch==2.15.0 transformers==5.24.0 safetensors
    python generate_bf16.py
"""

import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file

CASES = ("qwen3", "deepseek_v3_groups_yarn")

torch.set_num_threads(1)

for name in CASES:
    folder = pathlib.Path(__file__).parent / "golden" / name
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.bfloat16).eval()
    state = model.state_dict()
    for key, x in load_file(folder / "model.safetensors").items():
        if key not in state:  # experts that this version of transformers has as one tensor
            layer, expert, which = key.split(".mlp.experts.")[0], int(key.split(".experts.")[1].split(".")[0]), key.split(".")[-2]
            if which == "down_proj":
                state[layer + ".mlp.experts.down_proj"][expert].copy_(x)
            else:
                both = state[layer + ".mlp.experts.gate_up_proj"][expert]
                both[: len(x) if which == "gate_proj" else None][slice(None) if which == "gate_proj" else slice(len(x), None)].copy_(x)
            continue
        state[key].copy_(x)
    assert model.dtype == torch.bfloat16
    expected = load_file(folder / "expected.safetensors")
    logits = []
    with torch.no_grad():
        for i in range(3):
            ids = expected[f"ids.{i}"].long()
            logits.append(model(input_ids=ids[None, :-1]).logits[0].to(torch.float32))
    logits = torch.cat(logits)
    error = logits.double() - expected["logits"]
    save_file({"logits": logits.contiguous()}, folder / "bf16.safetensors")
    print(f"{name}: rms error {error.pow(2).mean().sqrt():.2e}, largest {error.abs().max():.2e}, rms of logits {expected['logits'].pow(2).mean().sqrt():.2f}")
