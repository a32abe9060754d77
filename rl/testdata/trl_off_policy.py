#!/usr/bin/env python3
"""Writes trl_off_policy.json: TRL's corrections of rollouts that another model has drawn.

    pip install trl==1.16.0 torch==2.15.0 transformers==5.24.0
    python trl_off_policy.py

GRPOTrainer._generate_and_score_completions and _compute_loss (trl/trainer/grpo_trainer.py)
run as they are, in float64, one after the other, on a stand-in for the trainer with use_vllm:
its generation gives random completions with the log-probabilities of the sampler, its
forward passes random log-probabilities, others before the first update than in the update
whose loss is taken. 12 completions in groups of 4, of up to 6 tokens. Two completions are so
far off, one in each direction, that their ratio is beyond both bounds.

trl_off_policy.json has tokens (their number by completion), advantage by completion, and
flat over all tokens sampling_log_prob, old_log_prob, log_prob and ref_log_prob. Of each case:
its settings, importance_sampling_ratio (flat over tokens; null without a correction), loss, its
gradient by log_prob, and the metrics sampling/... and clip_ratio/... that TRL logs.
"""

import json
import os
import types
from collections import defaultdict

import torch
import trl
from trl import GRPOTrainer

torch.set_default_dtype(torch.float64)
GROUPS, G, LONGEST = 3, 4, 6
N = GROUPS * G


class Accelerator:
    num_processes, process_index, device, is_main_process = 1, 0, torch.device("cpu"), True
    sync_gradients = True

    def gather(self, x):
        return x

    def reduce(self, x, reduction):
        return x

    def unwrap_model(self, model):
        return model


class StandIn(types.SimpleNamespace):
    """A trainer that has None for whatever is not set."""

    def __getattr__(self, name):
        return None


def evaluate(r, case):
    mode = case["vllm_importance_sampling_mode"]
    log_prob = r.log_prob.clone().requires_grad_()

    def forward(model, *args, **kwargs):
        if not torch.is_grad_enabled():
            return (r.ref if model == "reference" else r.old), None, None
        return log_prob, torch.zeros_like(log_prob), None

    drawn = [r.sampling[i, :n].tolist() for i, n in enumerate(r.lengths)]
    ids = [[1] * n for n in r.lengths]
    trainer = StandIn(
        accelerator=Accelerator(),
        model=types.SimpleNamespace(training=True, is_gradient_checkpointing=False),
        ref_model="reference",
        args=types.SimpleNamespace(
            per_device_train_batch_size=N, steps_per_generation=1, gradient_accumulation_steps=1,
            gradient_checkpointing_kwargs=None, delta=None, use_bias_correction_kl=False,
            sapo_temperature_pos=1.0, sapo_temperature_neg=1.0625,
        ),
        current_gradient_accumulation_steps=1,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        num_iterations=1,
        num_generations=G,
        scale_rewards="group",
        multi_objective_aggregation="sum_then_normalize",
        reward_weights=torch.ones(1),
        reward_func_names=["a"],
        reward_funcs=[None],
        use_vllm=mode is not None,
        vllm_importance_sampling_correction=mode is not None,
        vllm_importance_sampling_mode=mode,
        vllm_importance_sampling_clip_max=case["clip_max"],
        vllm_importance_sampling_clip_min=case["clip_min"],
        off_policy_mask_threshold=case["off_policy_mask_threshold"],
        importance_sampling_level=case["importance_sampling_level"],
        loss_type=case["loss_type"],
        beta=case["beta"],
        epsilon_low=0.2,
        epsilon_high=0.28,
        max_completion_length=LONGEST,
        entropy_coef=0.0,
        _entropy_bonus_enabled=False,
        _tokenizer=types.SimpleNamespace(pad_token_id=0),
        eos_token_ids=[1],
        chat_template_kwargs={},
        _pending_extra_logs={},
        _pending_metrics={},
        _metrics={"train": defaultdict(list)},
        _logs={"prompt": [], "completion": [], "rewards": defaultdict(list), "advantages": [], "extra": defaultdict(list)},
        _generate=lambda prompts: ([[0]] * N, ids, None, ["x"] * N, drawn, {}, None, None),
        _calculate_rewards=lambda *args: r.rewards[:, None].clone(),
        _get_per_token_logps_and_entropies=forward,
        get_off_policy_mask=GRPOTrainer.get_off_policy_mask,
    )
    inputs = GRPOTrainer._generate_and_score_completions(trainer, [{"prompt": "x"} for _ in range(N)])
    inputs.setdefault("old_per_token_logps", r.old)
    mask = inputs["completion_mask"].bool()
    loss = GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
    loss.backward()
    ratio = inputs.get("importance_sampling_ratio")
    return inputs["advantages"].tolist(), {
        **case,
        "importance_sampling_ratio": None if ratio is None else ratio.expand(mask.shape)[mask].tolist(),
        "loss": loss.item(),
        "grad_log_prob": log_prob.grad[mask].tolist(),
        "metrics": {k: v[0] for k, v in trainer._metrics["train"].items() if k.startswith(("sampling/", "clip_ratio/"))},
    }


def settings():
    default = {
        "vllm_importance_sampling_mode": None, "clip_max": 3.0, "clip_min": None, "off_policy_mask_threshold": None,
        "importance_sampling_level": "token", "loss_type": "dapo", "beta": 0.0,
    }
    for mode in ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]:
        changed = {"vllm_importance_sampling_mode": mode}
        yield {**default, **changed}
        yield {**default, **changed, "clip_max": 1.5, "clip_min": 0.5, "beta": 0.05}
        yield {**default, **changed, "clip_max": None, "clip_min": 0.7, "off_policy_mask_threshold": 0.1, "loss_type": "grpo"}
    yield {**default, "off_policy_mask_threshold": 0.1}
    yield {**default, "off_policy_mask_threshold": 0.1, "loss_type": "luspo", "importance_sampling_level": "sequence", "beta": 0.05}
    yield {**default, "vllm_importance_sampling_mode": "sequence_mask", "loss_type": "sapo"}
    yield {
        **default, "vllm_importance_sampling_mode": "token_truncate", "loss_type": "cispo", "off_policy_mask_threshold": 0.05,
    }


def main():
    generator = torch.Generator().manual_seed(21)
    normal = lambda scale: scale * torch.randn((N, LONGEST), generator=generator)
    lengths = torch.randint(1, LONGEST + 1, (N,), generator=generator).tolist()
    lengths[0] = LONGEST
    sampling = -0.1 - 3 * torch.rand((N, LONGEST), generator=generator)
    old = sampling + normal(0.4)
    old[2], old[7] = sampling[2] + 1.3, sampling[7] - 1.3
    r = types.SimpleNamespace(
        lengths=lengths, sampling=sampling, old=old, log_prob=old + normal(0.3), ref=old + normal(0.3),
        rewards=torch.rand(N, generator=generator),
    )
    cases = []
    for case in settings():
        alone = case["vllm_importance_sampling_mode"] is None
        of = r if not alone else types.SimpleNamespace(**{**vars(r), "old": sampling})  # then old is what was drawn with
        advantage, result = evaluate(of, case)
        cases.append(result)
    exists = torch.arange(LONGEST)[None] < torch.tensor(lengths)[:, None]
    flat = lambda x: x[exists].tolist()
    out = {
        "trl": trl.__version__, "tokens": lengths, "advantage": advantage,
        "sampling_log_prob": flat(sampling), "old_log_prob": flat(old), "log_prob": flat(r.log_prob), "ref_log_prob": flat(r.ref),
        "cases": cases,
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trl_off_policy.json")
    with open(path, "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
