#!/usr/bin/env python3
"""Writes golden/<case>/bf16.safetensors for the cases named below.

transformers' own classes run in bfloat16, both weights and activations, on the
weights and sequences that generate.py wrote (the weights are bfloat16 numbers). The
files hold
  logits F32 [sum T, V]     rows of all sequences, one after the other
  grad.<parameter> F32      of the main loss, elements 0, s, 2s, ... as in generate.py, for
                            parameters that this version of transformers does not stack

    pip install torch==2.15.0 transformers==5.24.0 safetensors
    python generate_bf16.py
"""

import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file

CASES = ("qwen3", "deepseek_v3_groups_yarn")

torch.set_num_threads(1)



def load(config, weights):
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.bfloat16).eval()
    state = model.state_dict()
    for key, x in weights.items():
        if key in state:
            state[key].copy_(x)
            continue
        # This version of transformers stacks the experts.
        layer, rest = key.split(".mlp.experts.")
        expert, which = int(rest.split(".")[0]), rest.split(".")[1]
        if which == "down_proj":
            state[layer + ".mlp.experts.down_proj"][expert].copy_(x)
        else:
            both = state[layer + ".mlp.experts.gate_up_proj"][expert]
            (both[: len(x)] if which == "gate_proj" else both[len(x) :]).copy_(x)
    assert model.dtype == torch.bfloat16
    return model


def run(model, expected):
    """Logits and gradients of the main loss."""
    weights = [expected[f"weight.{i}"] for i in range(3)]
    total = sum(w.sum() for w in weights)
    logits = []
    for i, w in enumerate(weights):
        ids = expected[f"ids.{i}"].long()
        z = model(input_ids=ids[None, :-1]).logits[0]
        logits.append(z.detach())
        (-(w.float() * z.float().log_softmax(-1).gather(1, ids[1:, None])[:, 0]).sum() / total).backward()
    grads = {p: x.grad.flatten()[:: -(-x.numel() // 48)] for p, x in model.named_parameters() if x.grad is not None}
    return torch.cat(logits), grads


for name in CASES:
    folder = pathlib.Path(__file__).parent / "golden" / name
    config = transformers.AutoConfig.from_pretrained(folder)
    weights, expected = load_file(folder / "model.safetensors"), load_file(folder / "expected.safetensors")
    logits, grads = run(load(config, weights), expected)
    out = {"logits": logits.float().contiguous()}
    out |= {"grad." + p: g.float().contiguous() for p, g in grads.items() if p in weights}
    save_file(out, folder / "bf16.safetensors")
    error = logits.double() - expected["logits"]
    print(f"{name}: logits rms error {error.pow(2).mean().sqrt():.2e} of {expected['logits'].pow(2).mean().sqrt():.2f}")
