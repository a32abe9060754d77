#!/usr/bin/env python3
"""Writes <case>/{adapter_config.json,adapter_model.safetensors,expected.safetensors}.

Each case is an adapter that PEFT made for a model of ../../testdata/golden, loaded with
transformers' own class, together with the results of the two in float64.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 safetensors
    python generate.py

transformers rounds to float32 in places, so this script replaces torch.float32 by
torch.float64 before any model is built, see ../../testdata/generate.py.

expected.safetensors holds:
  ids I32 [T+1]
  logits F64 [T, V]
  loss F64 [1]     mean cross-entropy
  grad.<name> F64  of the loss, for each tensor of adapter_model.safetensors
"""

import pathlib
import shutil

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

real32 = torch.float32
torch.float32 = torch.float = torch.float64
torch.Tensor.float = torch.Tensor.double
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent.parent / "testdata" / "golden"

CASES = {
    "llama3_scaling": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"]),
    "qwen2_tied": dict(r=3, lora_alpha=5, target_modules="all-linear", use_rslora=True),
    "deepseek_v3_plain_query": dict(r=2, lora_alpha=2, target_modules=["kv_a_proj_with_mqa", "kv_b_proj", "o_proj"],
                                    layers_to_transform=[1, 2]),
}

for seed, (name, options) in enumerate(CASES.items()):
    out = HERE / name
    shutil.rmtree(out, ignore_errors=True)
    config = transformers.AutoConfig.from_pretrained(GOLDEN / name)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        GOLDEN / name, config=config, dtype=torch.float64, attn_implementation="eager",
        experts_implementation="eager").eval()
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options), autocast_adapter_dtype=False)
    torch.manual_seed(seed)
    for key, x in peft.named_parameters():
        if "lora_" in key:
            with torch.no_grad():
                x.copy_((0.3 * torch.randn_like(x)).to(real32).double())
    ids = torch.randint(2, config.vocab_size, (1, 20))
    logits = peft(ids[:, :-1]).logits[0]
    loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:])
    loss.backward()
    peft.peft_config["default"].base_model_name_or_path = name
    peft.save_pretrained(out)
    (out / "README.md").unlink()
    grads = {n.replace(".default", ""): p.grad for n, p in peft.named_parameters() if "lora_" in n}
    stored = load_file(out / "adapter_model.safetensors")
    assert sorted(stored) == sorted(grads), (sorted(stored), sorted(grads))
    save_file({k: v.to(real32) for k, v in stored.items()}, out / "adapter_model.safetensors", {"format": "pt"})
    save_file({"ids": ids[0].int(), "logits": logits.detach().contiguous(), "loss": loss.detach()[None]} |
              {"grad." + k: g for k, g in grads.items()}, out / "expected.safetensors")
    print(name, len(grads), "tensors, loss", loss.item())
