"""Writes replay.json: the output and the gradients of transformers' MoE layer with given
experts, as in routing replay.

DeepseekV3MoE is used unchanged. Its correction bias, here with one row per token, raises the
given experts above all others; the bias affects the selection only. The router works in
float32, everything else in float64.

    python moe/testdata/replay.py
"""

import json
import pathlib

import torch
import transformers
from transformers.models.deepseek_v3.configuration_deepseek_v3 import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE

TOKENS, HIDDEN, WIDTH, EXPERTS, TOP_K, SCALE, SEED = 7, 6, 5, 8, 3, 2.5, 1

torch.manual_seed(SEED)
torch.set_default_dtype(torch.float64)
config = DeepseekV3Config(
    hidden_size=HIDDEN, moe_intermediate_size=WIDTH, n_routed_experts=EXPERTS, num_experts_per_tok=TOP_K,
    n_shared_experts=1, n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=SCALE,
)
config._experts_implementation = "eager"
layer = DeepseekV3MoE(config)
with torch.no_grad():
    for p in layer.parameters():  # float32 values, so that the router's rounding changes none
        p.copy_((0.6 * torch.randn(p.shape)).to(torch.float32))
x = torch.randn(TOKENS, HIDDEN).to(torch.float32).to(torch.float64).requires_grad_()
given = torch.stack([torch.randperm(EXPERTS)[:TOP_K].sort().values for _ in range(TOKENS)])
own = layer.gate(x)[2].sort(dim=-1).values
assert all((a != b).any() for a, b in zip(own, given)), "a token would choose the given experts"
layer.gate.e_score_correction_bias = torch.zeros(TOKENS, EXPERTS).scatter(1, given, 100.0)
assert torch.equal(layer.gate(x)[2].sort(dim=-1).values, given)

y = layer(x)
r = torch.randn(y.shape)
(y * r).sum().backward()


def numbers(t):
    return t.detach().to(torch.float64).flatten().tolist()


def split(t):  # gate_up_proj [E, 2F, D]
    return t[:, :WIDTH], t[:, WIDTH:]


def entry(weight, grad):
    return {"value": numbers(weight), "grad": numbers(grad)}


experts, shared = layer.experts, layer.shared_experts
gate, up = split(experts.gate_up_proj)
dgate, dup = split(experts.gate_up_proj.grad)
pathlib.Path(__file__).with_name("replay.json").write_text(json.dumps({
    "made_by": f"replay.py, transformers {transformers.__version__}, torch {torch.__version__}, seed {SEED}",
    "x": entry(x, x.grad), "given": given.flatten().tolist(), "own": own.flatten().tolist(),
    "y": numbers(y), "r": numbers(r),
    "params": {
        "mlp.gate.weight": entry(layer.gate.weight, layer.gate.weight.grad),
        "mlp.experts.*.gate_proj.weight": entry(gate, dgate),
        "mlp.experts.*.up_proj.weight": entry(up, dup),
        "mlp.experts.*.down_proj.weight": entry(experts.down_proj, experts.down_proj.grad),
        **{f"mlp.shared_experts.{n}": entry(p, p.grad) for n, p in shared.named_parameters()},
    },
}, indent=None) + "\n")
