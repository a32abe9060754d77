#!/usr/bin/env python3
"""Writes trl_loss.json: losses, gradients and metrics of TRL's own GRPOTrainer.

    pip install trl==1.16.0 torch==2.15.0 transformers==5.24.0
    python trl_loss.py

GRPOTrainer._compute_loss (trl/trainer/grpo_trainer.py) runs as it is, in
float64, on a stand-in for the trainer whose forward pass gives random
log-probabilities and entropies. The rollout has 16 completions of up to 6 tokens, 6 of
them truncated and masked, as mask_truncated_completions does: by zeros in
completion_mask. Each case splits it into as many optimizer steps as `updates`
says, of equal numbers of completions in order, with gradient_accumulation_steps
1: steps_per_generation is then `updates`.

trl_loss.json has, of the rollout, by completion: tokens (their number),
truncated, advantage; and flat over all tokens: log_prob, old_log_prob,
ref_log_prob, entropy. Of each case: its settings, and for each update the loss,
its gradients by log_prob and by entropy for the tokens of the update, and the
metrics that TRL logs.
"""

import json
import os
import types
from collections import defaultdict

import torch
import trl
from trl import GRPOTrainer

COMPLETIONS, LONGEST = 16, 6
TRUNCATED = {1, 4, 6, 9, 10, 14}


class Accelerator:
    num_processes = 1
    sync_gradients = True

    def gather(self, x):
        return x

    def reduce(self, x, reduction):
        return x


def rollout(generator):
    shape = (COMPLETIONS, LONGEST)
    normal = lambda scale: scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, LONGEST, (COMPLETIONS,), generator=generator)
    for i in TRUNCATED:
        lengths[i] = LONGEST
    old = -0.1 - 3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    return types.SimpleNamespace(
        lengths=lengths,
        exists=torch.arange(LONGEST)[None] < lengths[:, None],
        mask=((torch.arange(LONGEST)[None] < lengths[:, None]) & torch.tensor([[i not in TRUNCATED] for i in range(COMPLETIONS)])).long(),
        old=old,
        log_prob=old + normal(0.3),
        ref=old + normal(0.3),
        entropy=2 * torch.rand(shape, generator=generator, dtype=torch.float64),
        advantage=torch.randn(COMPLETIONS, generator=generator, dtype=torch.float64),
    )


def update(r, part, loss_type, beta, entropy_coef, updates):
    log_prob = r.log_prob[part].clone().requires_grad_()
    entropy = r.entropy[part].clone().requires_grad_()
    trainer = types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (log_prob, entropy, None),
        accelerator=Accelerator(),
        args=types.SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=updates),
        model=types.SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        use_vllm=False,
        loss_type=loss_type,
        beta=beta,
        epsilon_low=0.2,
        epsilon_high=0.28,
        max_completion_length=LONGEST,
        entropy_coef=entropy_coef,
        use_adaptive_entropy=False,
        _entropy_bonus_enabled=entropy_coef != 0.0,
        _metrics={"train": defaultdict(list)},
    )
    mask = r.mask[part]
    inputs = {
        "prompt_ids": torch.zeros(len(mask), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(mask), 1, dtype=torch.long),
        "completion_ids": torch.zeros_like(mask),
        "completion_mask": mask,
        "advantages": r.advantage[part],
        "old_per_token_logps": r.old[part],
        "ref_per_token_logps": r.ref[part],
        "num_items_in_batch": r.mask.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
    loss.backward()
    exists = r.exists[part]
    grad = entropy.grad if entropy.grad is not None else torch.zeros_like(entropy)
    return {
        "loss": loss.item(),
        "grad_log_prob": log_prob.grad[exists].tolist(),
        "grad_entropy": grad[exists].tolist(),
        "metrics": {name: values[0] for name, values in trainer._metrics["train"].items()},
    }


def main():
    r = rollout(torch.Generator().manual_seed(12))
    cases = []
    for loss_type in ["grpo", "dr_grpo", "dapo", "bnpo"]:
        for updates, beta, entropy_coef in [(1, 0.0, 0.0), (1, 0.05, 0.02), (2, 0.05, 0.02)]:
            size = COMPLETIONS // updates
            cases.append({
                "loss_type": loss_type,
                "beta": beta,
                "entropy_coef": entropy_coef,
                "updates": [
                    update(r, slice(u * size, (u + 1) * size), loss_type, beta, entropy_coef, updates)
                    for u in range(updates)
                ],
            })
    flat = lambda x: x[r.exists].tolist()
    out = {
        "trl": trl.__version__,
        "epsilon_low": 0.2,
        "epsilon_high": 0.28,
        "max_tokens": LONGEST,
        "tokens": r.lengths.tolist(),
        "truncated": [i in TRUNCATED for i in range(COMPLETIONS)],
        "advantage": r.advantage.tolist(),
        "log_prob": flat(r.log_prob),
        "old_log_prob": flat(r.old),
        "ref_log_prob": flat(r.ref),
        "entropy": flat(r.entropy),
        "cases": cases,
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trl_loss.json")
    with open(path, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
