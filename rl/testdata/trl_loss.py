#!/usr/bin/env python3
"""Writes trl_loss.json: losses, gradients and metrics computed by TRL's GRPOTrainer.

    pip install trl==1.16.0 torch==2.15.0 transformers==5.24.0
    python trl_loss.py

GRPOTrainer._compute_loss (trl/trainer/grpo_trainer.py), or RLOOTrainer's in cases with
rloo, runs unchanged, in float64, on a mock trainer whose forward pass returns random
log-probabilities and entropies. The rollout has 16 completions of up to 6 tokens, 6 of
them truncated. Some cases mask these as mask_truncated_completions does, with zeros in
completion_mask. (TRL counts masked completions as not clipped in its shares of clipped
completions, so cases with ratios of completions mask none.) Each case splits the rollout
in order into one or more optimizer steps with equal numbers of completions.
gradient_accumulation_steps is 1, and steps_per_generation is the number of steps.

trl_loss.json has tokens (their number), truncated and advantage for each completion, and
log_prob, old_log_prob, ref_log_prob and entropy, flat over all tokens. Each case has its
settings and, for each update, the loss, its gradients with respect to log_prob and entropy
for the tokens of the update, and the metrics that TRL logs.
"""

import json
import os
import types
from collections import defaultdict

import torch
import trl
from trl import GRPOTrainer, RLOOTrainer

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
        old=old,
        log_prob=old + normal(0.3),
        ref=old + normal(0.3),
        entropy=2 * torch.rand(shape, generator=generator, dtype=torch.float64),
        advantage=torch.randn(COMPLETIONS, generator=generator, dtype=torch.float64),
    )


DEFAULTS = {
    "trainer": "grpo",
    "loss_type": "dapo",
    "importance_sampling_level": "token",
    "epsilon": 0.2,
    "epsilon_high": 0.28,
    "delta": None,
    "sapo_temperature_pos": 1.0,
    "sapo_temperature_neg": 1.0625,  # exact in float32, to which TRL rounds it, unlike the default 1.05
    "use_bias_correction_kl": False,
    "beta": 0.0,
    "entropy_coef": 0.0,
    "mask_truncated_completions": True,
}


def update(r, part, case, updates):
    log_prob = r.log_prob[part].clone().requires_grad_()
    entropy = r.entropy[part].clone().requires_grad_()
    kept = torch.tensor([[not case["mask_truncated_completions"] or i not in TRUNCATED] for i in range(COMPLETIONS)])
    whole = (r.exists & kept).long()
    trainer = types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (log_prob, entropy, None),
        accelerator=Accelerator(),
        args=types.SimpleNamespace(steps_per_generation=updates, **case),
        model=types.SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level=case["importance_sampling_level"],
        use_vllm=False,
        loss_type=case["loss_type"],
        beta=case["beta"],
        epsilon_low=case["epsilon"],
        epsilon_high=case["epsilon_high"],
        max_completion_length=LONGEST,
        entropy_coef=case["entropy_coef"],
        use_adaptive_entropy=False,
        _entropy_bonus_enabled=case["entropy_coef"] != 0.0,
        _metrics={"train": defaultdict(list)},
    )
    mask = whole[part]
    inputs = {
        "prompt_ids": torch.zeros(len(mask), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(mask), 1, dtype=torch.long),
        "completion_ids": torch.zeros_like(mask),
        "completion_mask": mask,
        "advantages": r.advantage[part],
        "old_per_token_logps": r.old[part],
        "old_logps": (r.old[part] * mask).sum(1),
        "ref_per_token_logps": r.ref[part],
        "num_items_in_batch": whole.sum(),
    }
    cls = RLOOTrainer if case["trainer"] == "rloo" else GRPOTrainer
    loss = cls._compute_loss(trainer, trainer.model, inputs)
    loss.backward()
    exists = r.exists[part]
    grad = entropy.grad if entropy.grad is not None else torch.zeros_like(entropy)
    return {
        "loss": loss.item(),
        "grad_log_prob": log_prob.grad[exists].tolist(),
        "grad_entropy": grad[exists].tolist(),
        "metrics": {name: values[0] for name, values in trainer._metrics["train"].items()},
    }


def settings():
    for loss_type in ["grpo", "dr_grpo", "dapo", "bnpo", "luspo"]:
        yield 1, {"loss_type": loss_type}
        yield 1, {"loss_type": loss_type, "beta": 0.05, "entropy_coef": 0.02}
        yield 2, {"loss_type": loss_type, "beta": 0.05, "entropy_coef": 0.02}
    for loss_type in ["dapo", "luspo"]:
        yield 2, {"loss_type": loss_type, "delta": 1.4}
    yield 2, {"loss_type": "sapo"}
    yield 2, {"loss_type": "sapo", "sapo_temperature_pos": 2.0, "sapo_temperature_neg": 3.0}
    yield 2, {"loss_type": "cispo", "epsilon_high": 1.2}
    yield 2, {"loss_type": "cispo", "epsilon_high": 5.0, "beta": 0.05}
    yield 2, {"beta": 0.05, "use_bias_correction_kl": True}
    sequence = {"importance_sampling_level": "sequence", "mask_truncated_completions": False, "epsilon": 0.03, "epsilon_high": 0.04}
    for loss_type in ["grpo", "dapo", "luspo"]:
        yield 2, {"loss_type": loss_type, **sequence}
    yield 2, {"loss_type": "grpo", **sequence, "beta": 0.05, "use_bias_correction_kl": True, "entropy_coef": 0.02}
    yield 2, {"loss_type": "cispo", **sequence, "epsilon_high": 1.05}
    yield 2, {"loss_type": "sapo", **sequence}
    yield 2, {"trainer": "rloo", "mask_truncated_completions": False}


def main():
    r = rollout(torch.Generator().manual_seed(12))
    cases = []
    for updates, changed in settings():
        case = {**DEFAULTS, **changed}
        size = COMPLETIONS // updates
        parts = [slice(u * size, (u + 1) * size) for u in range(updates)]
        cases.append({**case, "updates": [update(r, part, case, updates) for part in parts]})
    flat = lambda x: x[r.exists].tolist()
    out = {
        "trl": trl.__version__,
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
        json.dump(out, f)
        f.write("\n")


main()
