#!/usr/bin/env python3
"""Writes trl_dpo.json: losses, gradients and metrics computed by TRL's DPOTrainer.

    pip install trl==1.16.0 torch==2.15.0 transformers==5.24.0
    python trl_dpo.py

DPOTrainer._compute_loss (trl/trainer/dpo_trainer.py) runs unchanged, in float64, on a mock
trainer whose model returns random log-probabilities and entropies. The reference
log-probabilities are precomputed. There are 6 pairs of completions of 1 to 5 tokens after
prompts of 1 to 3 tokens.

DPOTrainer no longer has label smoothing for the loss sigmoid: its label_smoothing now
belongs to the loss robust, which differs. CPOTrainer.cpo_loss (trl/experimental/cpo) still
has it, so the script calls cpo_loss with log-ratios in place of log-probabilities.

The mixed reference model comes from SyncRefModelCallback.sync_target_model
(trl/trainer/callbacks.py).

trl_dpo.json has tokens (their number), log_prob, ref_log_prob and entropy, flat over all
tokens of the completions, by pair, chosen before rejected. Each case has its settings, the
loss, its gradient with respect to log_prob, and the metrics that TRL logs. sync is the
mixed reference model.
"""

import json
import os
import types
from collections import defaultdict

import accelerate
import torch
import trl
from trl import DPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.trainer.callbacks import SyncRefModelCallback

PAIRS, LONGEST, PROMPT = 6, 5, 3


class Accelerator:
    device = torch.device("cpu")

    def gather(self, x):
        return x

    gather_for_metrics = gather


def batch(generator):
    # As in TRL, rows are the chosen completions of all pairs, then the rejected ones.
    rows, width = 2 * PAIRS, PROMPT + LONGEST
    lengths = torch.randint(1, LONGEST + 1, (rows,), generator=generator)
    prompts = torch.randint(1, PROMPT + 1, (PAIRS,), generator=generator).repeat(2)
    at = torch.arange(width)[None]
    mask = ((at >= prompts[:, None]) & (at < (prompts + lengths)[:, None])).long()
    shape = (rows, width - 1)
    ref = -0.1 - 3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    log_prob = ref + 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    here = mask[:, 1:].bool()
    return types.SimpleNamespace(
        lengths=lengths, mask=mask, here=here,
        ref=ref * here, log_prob=log_prob * here,
        entropy=2 * torch.rand(shape, generator=generator, dtype=torch.float64),
    )


def flat(b, x):
    """Returns the values of tokens by pair, chosen before rejected."""
    return [v for p in range(PAIRS) for row in (p, PAIRS + p) for v in x[row][b.here[row]].tolist()]


def case(b, loss_type, beta, label_smoothing):
    log_prob = b.log_prob.clone().requires_grad_()
    outputs = types.SimpleNamespace(
        log_probs=log_prob, entropy=b.entropy, mean_logits=torch.zeros_like(b.entropy),
        is_top1=torch.zeros_like(b.here),
    )
    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=True),
        accelerator=Accelerator(),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[loss_type],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=label_smoothing,
        use_weighting=False,
        _total_train_tokens=0,
        _tp_size=1,
        _metrics={"train": defaultdict(list)},
    )
    sums = b.ref.sum(dim=1)
    inputs = {
        "input_ids": torch.zeros_like(b.mask),
        "attention_mask": (b.mask.cumsum(dim=1) + b.mask.flip(1).cumsum(dim=1).flip(1) > 0).long(),
        "completion_mask": b.mask,
        "ref_chosen_logps": sums[:PAIRS],
        "ref_rejected_logps": sums[PAIRS:],
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **kwargs: outputs, inputs, False)
    metrics = {name: values[0] for name, values in trainer._metrics["train"].items()}
    if loss_type == "sigmoid" and label_smoothing:
        ratios = (log_prob - b.ref).sum(dim=1)
        cpo = types.SimpleNamespace(
            alpha=0.0, accelerator=Accelerator(), loss_type="sigmoid", beta=beta, label_smoothing=label_smoothing)
        loss = CPOTrainer.cpo_loss(cpo, ratios[:PAIRS], ratios[PAIRS:])[0].mean()
    loss.backward()
    return {
        "loss_type": loss_type, "beta": beta, "label_smoothing": label_smoothing, "loss": loss.item(),
        "grad_log_prob": flat(b, log_prob.grad),
        "metrics": {name: metrics[name] for name in [
            "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins",
            "logps/chosen", "logps/rejected", "entropy",
        ]},
    }


def sync(generator):
    accelerate.Accelerator()
    old, policy = (torch.nn.Linear(32, 1, bias=False, dtype=torch.float64) for _ in range(2))
    for m in (old, policy):
        m.weight.data = torch.randn((1, 32), generator=generator, dtype=torch.float64)
    out = {"alpha": 0.6, "old": old.weight[0].tolist(), "policy": policy.weight[0].tolist()}
    SyncRefModelCallback.sync_target_model(policy, old, 0.6)
    return out | {"mixed": old.weight[0].tolist()}


def main():
    generator = torch.Generator().manual_seed(21)
    b = batch(generator)
    out = {
        "trl": trl.__version__,
        "tokens": [n for p in range(PAIRS) for n in (b.lengths[p].item(), b.lengths[PAIRS + p].item())],
        "log_prob": flat(b, b.log_prob),
        "ref_log_prob": flat(b, b.ref),
        "entropy": flat(b, b.entropy),
        "cases": [
            case(b, *settings) for settings in [
                ("sigmoid", 0.1, 0.0), ("sigmoid", 0.5, 0.0), ("sigmoid", 0.3, 0.1), ("ipo", 0.1, 0.0),
                ("ipo", 0.7, 0.0), ("sigmoid_norm", 0.1, 0.0), ("sigmoid_norm", 2.0, 0.0), ("robust", 0.1, 0.0),
                ("robust", 0.3, 0.2),
            ]
        ],
        "sync": sync(generator),
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trl_dpo.json")
    with open(path, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
