#!/usr/bin/env python3
"""Writes verl_loss.json: losses and gradients computed by verl's core algorithms.

    pip install verl==0.9.1 torch==2.15.0 tensordict==0.10.0
    python verl_loss.py

The policy losses and divergences of verl/trainer/ppo/core_algos.py run unchanged, in
float64, on 8 random completions of up to 6 tokens. Each token has its own advantage. The
script mocks ray, which verl imports and these functions do not use.

verl_loss.json has tokens (their number for each completion), and log_prob, old_log_prob,
ref_log_prob and advantage, flat over all tokens. Each case has verl's name of the loss and
its settings, the loss, its gradient with respect to log_prob, and verl's shares of clipped
tokens.
"""

import importlib.machinery
import json
import os
import sys
import types

import torch


class Absent(types.ModuleType):
    """Mocks a package that is not installed; its decorators return their argument."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")

    def __call__(self, *args, **kwargs):
        return args[0] if args and callable(args[0]) else self


for name in ["ray", "ray.experimental", "ray.experimental.state", "ray.experimental.state.api", "ray.util", "ray.util.scheduling_strategies"]:
    module = Absent(name)
    module.__path__, module.__spec__ = [], importlib.machinery.ModuleSpec(name, None)
    sys.modules.setdefault(name, module)

import verl
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig, PolicyLossConfig

COMPLETIONS, LONGEST = 8, 6


def settings():
    yield {"loss": "vanilla", "clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": 1.4, "loss_agg_mode": "token-mean"}
    yield {"loss": "vanilla", "clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": 1.4, "loss_agg_mode": "seq-mean-token-sum"}
    yield {"loss": "gspo", "clip_ratio_low": 0.03, "clip_ratio_high": 0.04, "loss_agg_mode": "seq-mean-token-mean"}
    yield {"loss": "cispo", "clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "loss_agg_mode": "token-mean"}
    yield {"loss": "sapo", "tau_pos": 1.0, "tau_neg": 1.05, "loss_agg_mode": "seq-mean-token-mean"}
    yield {"loss": "dro", "dro_beta": 0.3, "loss_agg_mode": "token-mean"}
    yield {"loss": "reinforce", "loss_agg_mode": "token-mean"}
    for kind in ["k1", "k2", "k3"]:
        yield {"loss": "kl", "kl": kind, "loss_agg_mode": "token-mean"}


def evaluate(case, log_prob, old, ref, advantage, mask):
    log_prob = log_prob.clone().requires_grad_()
    mode = case["loss_agg_mode"]
    clipped = {}
    if case["loss"] == "kl":
        losses = core_algos.kl_penalty(log_prob, ref, case["kl"])
        loss = core_algos.agg_loss(losses, mask, mode)
    elif case["loss"] == "reinforce":
        loss, _ = core_algos.compute_policy_loss_reinforce(
            rollout_log_prob=old, log_prob=log_prob, advantages=advantage, response_mask=mask,
            loss_agg_mode=mode, config=config(case), rollout_is_weights=None,
        )
    else:
        f = core_algos.get_policy_loss_fn(case["loss"])
        loss, clipped = f(
            old_log_prob=old, log_prob=log_prob, advantages=advantage, response_mask=mask,
            loss_agg_mode=mode, config=config(case), rollout_is_weights=None,
        )
    loss.backward()
    names = ["actor/pg_clipfrac", "actor/pg_clipfrac_lower"]
    return {
        **case,
        "value": loss.item(),
        "grad_log_prob": log_prob.grad[mask.bool()].tolist(),
        "clipped": {name: clipped[name] for name in names if name in clipped},
    }


def config(case):
    keys = ["clip_ratio_low", "clip_ratio_high", "clip_ratio_c", "tau_pos", "tau_neg"]
    own = {key: case[key] for key in keys if key in case}
    if "dro_beta" in case:
        own["policy_loss"] = PolicyLossConfig(dro_beta=case["dro_beta"])
    return ActorConfig(strategy="fsdp", rollout_n=1, use_dynamic_bsz=True, **own)


def main():
    generator = torch.Generator().manual_seed(34)
    shape = (COMPLETIONS, LONGEST)
    normal = lambda scale: scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, LONGEST + 1, (COMPLETIONS,), generator=generator)
    mask = (torch.arange(LONGEST)[None] < lengths[:, None]).long()
    old = -0.1 - 3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    log_prob, ref, advantage = old + normal(0.3), old + normal(0.3), normal(1.0)
    cases = [evaluate(case, log_prob, old, ref, advantage, mask) for case in settings()]
    flat = lambda x: x[mask.bool()].tolist()
    out = {
        "verl": verl.__version__,
        "tokens": lengths.tolist(),
        "log_prob": flat(log_prob),
        "old_log_prob": flat(old),
        "ref_log_prob": flat(ref),
        "advantage": flat(advantage),
        "cases": cases,
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verl_loss.json")
    with open(path, "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
