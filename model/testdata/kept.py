"""Scores and gradients under top-k and top-p, from transformers' own warpers.

    python kept.py > kept.json

Logits of a few rows go through TemperatureLogitsWarper, TopKLogitsWarper and
TopPLogitsWarper, in the order of transformers' generate; the remaining logits are
normalised in float64. The loss is sum(a·log p(target) + b·entropy).
"""

import json

import torch
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

torch.manual_seed(11)
ROWS, VOCAB = 6, 24
logits = (3 * torch.randn(ROWS, VOCAB, dtype=torch.float64)).requires_grad_()
a, b = torch.randn(ROWS, dtype=torch.float64), torch.randn(ROWS, dtype=torch.float64)

cases = []
for temperature, top_k, top_p in [(0.6, 0, 0.95), (1.0, 5, 0.0), (1.3, 7, 0.6), (1.0, 0, 0.3), (0.7, 40, 0.9)]:
    z = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        z = TopKLogitsWarper(top_k)(None, z)
    if top_p:
        z = TopPLogitsWarper(top_p)(None, z)
    logp = torch.log_softmax(z, -1)
    left = torch.isfinite(z)
    # Take the least likely of the kept tokens as target: it is the most sensitive to an error in the set.
    target = torch.where(left, logits, torch.inf).argmin(-1)
    picked = logp.gather(-1, target[:, None])[:, 0]
    entropy = -torch.where(left, logp.exp() * torch.where(left, logp, 0), 0).sum(-1)
    (grad,) = torch.autograd.grad((a * picked + b * entropy).sum(), logits)
    cases.append({
        "temperature": temperature, "top_k": top_k, "top_p": top_p,
        "kept": [row.nonzero()[:, 0].tolist() for row in left],
        "target": target.tolist(), "log_prob": picked.tolist(), "entropy": entropy.tolist(),
        "grad": grad.flatten().tolist(),
    })

print(json.dumps({
    "rows": ROWS, "vocab": VOCAB, "logits": logits.flatten().tolist(),
    "a": a.tolist(), "b": b.tolist(), "cases": cases,
}))
