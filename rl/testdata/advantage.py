#!/usr/bin/env python3
"""Writes advantage.json: advantages computed by the code of TRL and verl.

    pip install trl==1.16.0 verl==0.9.1 torch==2.15.0 transformers==5.24.0 tensordict==0.10.0
    python advantage.py

For TRL, the methods _generate_and_score_completions of GRPOTrainer and RLOOTrainer run
unchanged on a mock trainer whose generation and scoring return a random rollout. They
compute in float64 unless TRL asks for float32. For verl, the script calls the estimators
of verl/trainer/ppo/core_algos.py and kl_penalty. It mocks ray, which these do not use.

advantage.json has group (its size), tokens (their number for each completion), rewards
[function][completion] (null if the function does not apply), weights, steps [completion]
of [token, reward], and old_log_prob and ref_log_prob, flat over all tokens. Each case has
its settings and the advantages, by completion (TRL) or flat over tokens (verl).
"""

import importlib.machinery
import json
import os
import sys
import types
from collections import defaultdict

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

import trl
from trl import GRPOTrainer, RLOOTrainer

torch.set_default_dtype(torch.float64)  # TRL divides integer counts in the default dtype
GROUPS, G, LONGEST = 4, 5, 6
N = GROUPS * G


class Accelerator:
    num_processes, process_index, device, is_main_process = 1, 0, torch.device("cpu"), True

    def gather(self, x):
        return x

    def reduce(self, x, reduction):
        return x

    def unwrap_model(self, model):
        return model


class StandIn(types.SimpleNamespace):
    """A mock trainer whose unset attributes are None."""

    def __getattr__(self, name):
        return None


def trl_advantages(r, case):
    cls = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}[case["trainer"]]
    ids = [[1] * n for n in r.lengths]
    model = types.SimpleNamespace(training=True, is_gradient_checkpointing=False)
    prompts, texts = [[0]] * N, ["x"] * N
    if case["trainer"] == "rloo":
        generated = (prompts, ids, texts)
    else:
        generated = (prompts, ids, None, texts, None, {}, None, None)

    def log_probs(model, *args, **kwargs):
        values = torch.zeros(N, max(r.lengths), dtype=torch.float64)
        for i, x in enumerate(r.ref if model == "reference" else r.old):
            values[i, : len(x)] = x
        return values, None, None

    trainer = StandIn(
        accelerator=Accelerator(),
        model=model,
        ref_model="reference",
        args=types.SimpleNamespace(
            per_device_train_batch_size=N, steps_per_generation=1, gradient_accumulation_steps=1,
            gradient_checkpointing_kwargs=None,
        ),
        num_iterations=1,
        num_generations=G,
        beta=case.get("beta", 0.0),
        scale_rewards=case.get("scale_rewards", "group"),
        multi_objective_aggregation=case.get("multi_objective_aggregation", "sum_then_normalize"),
        normalize_advantages=case.get("normalize_advantages", False),
        reward_weights=torch.tensor(r.weights, dtype=torch.float64),
        reward_func_names=["a", "b"],
        reward_funcs=[None, None],
        _tokenizer=types.SimpleNamespace(pad_token_id=0),
        eos_token_ids=[1],
        chat_template_kwargs={},
        _pending_extra_logs={},
        _pending_metrics={},
        _metrics={"train": defaultdict(list)},
        _logs={"prompt": [], "completion": [], "rewards": defaultdict(list), "advantages": [], "extra": defaultdict(list)},
        _generate=lambda prompts: generated,
        _calculate_rewards=lambda *args: r.rewards.T.clone(),
        _get_per_token_logps_and_entropies=log_probs,
    )
    out = cls._generate_and_score_completions(trainer, [{"prompt": "x"} for _ in range(N)])
    metrics = {name: values[0] for name, values in trainer._metrics["train"].items() if name in ("kl", "reward", "reward_std")}
    return {**case, "by_completion": out["advantages"].tolist(), "metrics": metrics}


def verl_advantages(r, case):
    shape = (N, LONGEST)
    pad = lambda xs: torch.stack([torch.cat([x, x.new_zeros(LONGEST - len(x))]) for x in xs])
    mask = pad([torch.ones(n, dtype=torch.float64) for n in r.lengths])
    rewards = torch.zeros(shape, dtype=torch.float64)
    for i, n in enumerate(r.lengths):
        rewards[i, n - 1] = r.outcome[i]
        if case.get("steps"):
            for token, value in r.steps[i]:
                rewards[i, token] += value
    if "kl" in case:  # apply_kl_penalty of verl/trainer/ppo/ray_trainer.py, which imports ray
        rewards = rewards - case["kl"] * core_algos.kl_penalty(pad(r.old), pad(r.ref), "kl") * mask
    estimator = core_algos.get_adv_estimator_fn(case["adv_estimator"])
    advantages, _ = estimator(
        token_level_rewards=rewards, response_mask=mask, index=[i // G for i in range(N)], config=types.SimpleNamespace(gamma=1.0),
    )
    return {**case, "by_token": advantages[mask.bool()].tolist()}


def main():
    generator = torch.Generator().manual_seed(56)
    uniform = lambda *shape: torch.rand(shape, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, LONGEST + 1, (N,), generator=generator).tolist()
    rewards = torch.stack([(uniform(N) > 0.5).double(), 3 * uniform(N)])
    rewards[0, G : 2 * G] = 1.0  # a group without spread in one function
    rewards[1, 3] = rewards[0, 7] = torch.nan  # the function does not apply
    old = [-0.1 - 3 * uniform(n) for n in lengths]
    r = types.SimpleNamespace(
        lengths=lengths, rewards=rewards, weights=[1.0, 0.25], old=old, ref=[x + 0.6 * (uniform(len(x)) - 0.5) for x in old],
        steps=[[(t, (4 * uniform(1)).item() - 2) for t in range(i % 2, n, 2)] for i, n in enumerate(lengths)],
    )
    r.outcome = (rewards * torch.tensor(r.weights).double()[:, None]).nansum(0)
    cases = [
        trl_advantages(r, {"trainer": "grpo", "scale_rewards": scale}) for scale in ["group", "batch", "none"]
    ] + [
        trl_advantages(r, {"trainer": "grpo", "multi_objective_aggregation": "normalize_then_sum"}),
        trl_advantages(r, {"trainer": "rloo"}),
        trl_advantages(r, {"trainer": "rloo", "normalize_advantages": True}),
        trl_advantages(r, {"trainer": "rloo", "beta": 0.05}),
    ]
    for name in ["rloo", "reinforce_plus_plus", "reinforce_plus_plus_baseline"]:
        for changed in [{}, {"steps": True, "kl": 0.05}]:
            cases.append(verl_advantages(r, {"adv_estimator": name, **changed}))
    out = {
        "trl": trl.__version__, "verl": verl.__version__,
        "group": G, "tokens": lengths, "weights": r.weights, "steps": r.steps,
        "rewards": [[None if v != v else v for v in row] for row in rewards.tolist()],
        "old_log_prob": torch.cat(r.old).tolist(), "ref_log_prob": torch.cat(r.ref).tolist(),
        "cases": cases,
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "advantage.json")
    with open(path, "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
