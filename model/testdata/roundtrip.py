#!/usr/bin/env python3
"""Takes tiny models through save_pretrained -> model.Load -> a step of training -> model.Save -> from_pretrained.

    pip install torch transformers safetensors
    python model/testdata/roundtrip.py          # in the repository's root, with go on the path

The folders written by transformers are in BF16. The step is one of AdamW with learning rate 1e-5, far below a BF16 ulp
of most weights. For each model and each dtype, the script checks that
  - from_pretrained(dtype="auto") finds the dtype that the config gives, and no missing or unexpected tensors,
  - its logits equal those that aha computes for the saved folder, within 1e-5 of the largest,
  - if saved in F32, the weights changed as torch's AdamW changes them.
Folders saved in FP8 are dequantised here, and transformers reads them as F32.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.manual_seed(1)

COMMON = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 80, "max_position_embeddings": 64, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 4, "initializer_range": 0.2, "tie_word_embeddings": False,
          "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
MLA = COMMON | {"first_k_dense_replace": 1, "kv_lora_rank": 24, "q_lora_rank": 32, "qk_nope_head_dim": 16,
                "qk_rope_head_dim": 8, "v_head_dim": 16, "moe_intermediate_size": 40, "n_routed_experts": 8,
                "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
CASES = {
    "deepseek_v3": MLA,
    "deepseek_v2": MLA | {"q_lora_rank": None, "topk_method": "greedy", "n_group": 1, "routed_scaling_factor": 1.0},
    "qwen2": COMMON | {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3": COMMON | {"num_key_value_heads": 2, "head_dim": 24},
    "llama": COMMON | {"num_key_value_heads": 1},
}
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F8_E4M3": torch.float32}


def load(folder, **kw):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, **kw)
    return model.eval(), {k: v for k, v in info.items() if v}


def dequantise(folder):
    """Dequantises the FP8 weights of a folder, as its config describes them."""
    config = json.loads((folder / "config.json").read_text())
    rows, columns = config.pop("quantization_config")["weight_block_size"]
    config["torch_dtype"] = "float32"
    tensors, count = load_file(folder / "model.safetensors"), 0
    for name in [n for n in tensors if n.endswith("_scale_inv")]:
        scale, weight = tensors.pop(name), tensors[name.removesuffix("_scale_inv")]
        assert weight.dtype == torch.float8_e4m3fn, name
        scale = scale.repeat_interleave(rows, 0).repeat_interleave(columns, 1)[: weight.shape[0], : weight.shape[1]]
        tensors[name.removesuffix("_scale_inv")] = weight.float() * scale
        count += 1
    assert count >= 14, count
    save_file({k: v.float() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))


def logits(model, ids):
    with torch.no_grad():
        return model(ids[None]).logits[0].float()


def step(folder, ids):
    """The weights after the same step in torch, by name."""
    model, _ = load(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), eps=1e-8, weight_decay=0)
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    rows = torch.nn.functional.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:])
    rows.backward()
    large = {k: v.grad.abs() > 1e-5 for k, v in model.named_parameters() if v.grad is not None}
    optimizer.step()
    return before, {k: v.detach() for k, v in model.named_parameters()}, large


def check(name, dtype, work):
    config = transformers.AutoConfig.for_model(name, **CASES[name])
    theirs, ours = work / "in", work / "out"
    model = transformers.AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(theirs)
    go = subprocess.run(["go", "test", "-count=1", "-run", "TestRoundTripThroughTransformers", "./model"], env=os.environ | {
        "AHA_ROUNDTRIP_IN": str(theirs), "AHA_ROUNDTRIP_OUT": str(ours), "AHA_ROUNDTRIP_DTYPE": dtype}, capture_output=True, text=True)
    if go.returncode:
        return [go.stdout + go.stderr]
    faults = []
    ids = torch.tensor([(7 * i * i + 3 * i + 1) % config.vocab_size for i in range(24)])
    if dtype == "F8_E4M3":
        dequantise(ours)
    trained, info = load(ours, dtype="auto")
    if info:
        faults.append(f"loading info {info}")
    if trained.dtype != TYPES[dtype]:
        faults.append(f"transformers reads {trained.dtype}")
    want = load_file(work / "logits.safetensors")["logits"]
    got = logits(trained.float(), ids)[: len(want)]
    off = ((got - want).abs().max() / want.abs().max()).item()
    if not off <= 1e-5:
        faults.append(f"logits off by {off:.2g} of the largest")
    line = f"{name:12} {dtype:8} logits off by {off:.1e} of the largest, {want.abs().max():.2f}"
    if dtype == "F32":
        before, after, large = step(theirs, ids)
        moved = total = 0
        worst = 0.0
        for key, value in trained.named_parameters():
            if key not in large:
                continue
            mine, torchs = (value.detach() - before[key]), (after[key] - before[key])
            moved += (mine[large[key]] != 0).sum().item()
            total += large[key].sum().item()
            if large[key].any():
                worst = max(worst, (mine - torchs)[large[key]].abs().max().item())
        line += f"; {moved} of {total} weights moved, at most {worst:.1e} otherwise than torch's"
        if moved != total or worst > 1e-6:
            faults.append("the update is lost or another")
    print(line, "" if not faults else "FAIL", flush=True)
    return faults


def main():
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    failed = False
    for name in CASES:
        for dtype in TYPES:
            with tempfile.TemporaryDirectory() as folder:
                for fault in check(name, dtype, pathlib.Path(folder)):
                    failed = True
                    print(f"{name} {dtype}: {fault}", file=sys.stderr)
    sys.exit(failed)


main()
