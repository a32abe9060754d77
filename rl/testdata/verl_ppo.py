#!/usr/bin/env python3
"""Writes verl_ppo.json: advantages, returns, value losses and metrics computed by verl's PPO.

    pip install verl==0.9.1 torch==2.15.0 transformers==5.24.0
    python verl_ppo.py

compute_gae_advantage_return, which whitens, and compute_value_loss of
verl/trainer/ppo/core_algos.py, and compute_data_metrics of metric_utils.py run unchanged,
in float64. The script mocks ray, which verl imports and these functions do not use. TRL
1.16 has no PPO; its former PPOTrainer used the same functions.

The rollout has 16 completions of 1 to 7 tokens. Every token has a reward; that of the last
token includes the reward of the completion. Lists are flat over the tokens of all
completions.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import types
from unittest import mock


class Ray(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ray":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return mock.MagicMock(__name__=spec.name, __path__=[], __spec__=spec)

    def exec_module(self, module):
        pass


try:
    import ray
except ImportError:
    sys.meta_path.insert(0, Ray())

import torch
import verl
from verl.trainer.ppo import core_algos, metric_utils

COMPLETIONS, LONGEST = 16, 7


def main():
    generator = torch.Generator().manual_seed(21)
    shape = (COMPLETIONS, LONGEST)
    normal = lambda: torch.randn(shape, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, LONGEST + 1, (COMPLETIONS,), generator=generator)
    mask = torch.arange(LONGEST)[None] < lengths[:, None]
    last = torch.arange(LONGEST)[None] == lengths[:, None] - 1
    flat = lambda x: x[mask].tolist()
    rewards = 0.1 * normal() * mask + torch.randint(0, 2, (COMPLETIONS, 1), generator=generator) * last
    values = 0.5 + 0.5 * normal()
    prediction = values + 0.3 * normal()

    cases = []
    for gamma, lam in [(1.0, 1.0), (1.0, 0.95), (0.9, 0.5)]:
        advantages, returns = core_algos.compute_gae_advantage_return(rewards, values, mask.double(), gamma, lam)
        batch = {
            "token_level_scores": rewards, "token_level_rewards": rewards, "advantages": advantages,
            "returns": returns, "values": values, "response_mask": mask, "prompts": torch.zeros(COMPLETIONS, 1),
            "responses": torch.zeros(shape), "attention_mask": torch.cat([torch.ones(COMPLETIONS, 1), mask], 1),
        }
        data = types.SimpleNamespace(batch=batch, non_tensor_batch={})
        metrics = metric_utils.compute_data_metrics(data, use_critic=True)
        losses = []
        for clip in [0.2, 0.5]:
            p = prediction.clone().requires_grad_()
            loss, clipped = core_algos.compute_value_loss(p, returns, values, mask, clip)
            loss.backward()
            losses.append({"clip": clip, "loss": loss.item(), "grad": flat(p.grad), "clipfrac": clipped.item()})
        names = ["critic/vf_explained_var"] + [
            f"critic/{x}/{y}" for x in ["advantages", "returns", "values"] for y in ["mean", "min", "max"]
        ]
        cases.append({
            "gamma": gamma, "lam": lam, "advantages": flat(advantages), "returns": flat(returns),
            "metrics": {name: float(metrics[name]) for name in names}, "value_losses": losses,
        })
    out = {
        "verl": verl.__version__, "tokens": lengths.tolist(), "rewards": flat(rewards), "values": flat(values),
        "prediction": flat(prediction), "cases": cases,
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verl_ppo.json")
    with open(path, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
