#!/usr/bin/env python3
"""Writes reward_model.json, outcome_model and process_model: reward models of transformers,
with scores, losses and gradients computed by transformers and TRL.

    pip install trl==1.16.0 torch==2.15.0 transformers==5.24.0
    pip download --no-deps trl==0.24.0 && python -m zipfile -e trl-0.24.0-py3-none-any.whl old
    python reward_model.py old/trl/trainer/prm_trainer.py

outcome_model is a DeepseekV3ForSequenceClassification with one label, process_model a
DeepseekV3ForTokenClassification with two, both written by save_pretrained in float32. They
compute in float64 with these weights, and TRL's code runs unchanged. Since transformers
rounds to float32 inside norms, routers and softmax, the script makes torch.float32 an alias
of torch.float64 after it has written the models.

For the outcome model, RewardTrainer.compute_loss (trl/trainer/reward_trainer.py) runs on a
mock trainer, with 4 pairs, margins and center_rewards_coefficient. The file has the scores,
the loss, its gradients and the metrics.

For the process model, PRMTrainer.tokenize_row, which TRL had until version 0.24, decides
which tokens have labels. PRMTrainer uses the loss that the model computes. The file has the
logits at the labels, the loss and its gradients.
"""

import json
import os
import random
import re
import shutil
import sys
import types
from collections import defaultdict

import torch
import transformers
import trl
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForSequenceClassification,
    DeepseekV3ForTokenClassification,
)
from trl import RewardTrainer

HERE = os.path.dirname(os.path.abspath(__file__))
PAD, SEPARATOR = 0, 15


class Accelerator:
    def gather(self, x):
        return x

    gather_for_metrics = gather


def config(labels):
    return DeepseekV3Config(
        vocab_size=16, hidden_size=16, intermediate_size=24, moe_intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, n_shared_experts=1, n_routed_experts=4, num_experts_per_tok=2,
        n_group=1, topk_group=1, first_k_dense_replace=1, q_lora_rank=8, kv_lora_rank=8, qk_nope_head_dim=4,
        qk_rope_head_dim=4, v_head_dim=4, max_position_embeddings=32, initializer_range=0.3, num_labels=labels,
        pad_token_id=PAD, bos_token_id=None, eos_token_id=1, attention_dropout=0.0,
        num_nextn_predict_layers=0, attn_implementation="eager", experts_implementation="eager",
    )


def write(cls, labels, seed, folder):
    torch.manual_seed(seed)
    m = cls(config(labels))
    torch.nn.init.normal_(m.score.weight, std=0.5)
    if m.score.bias is not None:
        torch.nn.init.normal_(m.score.bias, std=0.5)
    folder = os.path.join(HERE, folder)
    shutil.rmtree(folder, ignore_errors=True)
    m.save_pretrained(folder)
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    return m.state_dict()


def double(cls, labels, state):
    m = cls(config(labels)).double()
    m.load_state_dict({name: x.double() for name, x in state.items()})
    return m


def gradients(m, loss):
    m.zero_grad()
    loss.backward()
    named = dict(m.named_parameters())
    names = ["score.weight", "score.bias", "model.norm.weight", "model.layers.0.self_attn.q_a_proj.weight"]
    return {name: named[name].grad.flatten().tolist() for name in names if name in named}


def outcome(rng, m):
    pairs = []
    for _ in range(4):
        prompt = [rng.randint(1, 15) for _ in range(rng.randint(1, 4))]
        chosen, rejected = ([rng.randint(1, 15) for _ in range(rng.randint(1, 6))] for _ in range(2))
        pairs.append({"prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": round(rng.uniform(-1, 2), 3)})
    rows = [p["prompt"] + p[side] for side in ("chosen", "rejected") for p in pairs]
    width = max(map(len, rows))
    ids = torch.tensor([r + [PAD] * (width - len(r)) for r in rows])
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
    cases = []
    for margins in (False, True):
        for center in (None, 0.01, 0.5):
            trainer = types.SimpleNamespace(
                model=m, accelerator=Accelerator(), args=types.SimpleNamespace(center_rewards_coefficient=center),
                _total_train_tokens=0, _tp_size=1, _metrics={"train": defaultdict(list)},
            )
            m.train()
            inputs = {"input_ids": ids, "attention_mask": mask}
            if margins:
                inputs["margin"] = torch.tensor([p["margin"] for p in pairs], dtype=torch.float64)
            def model(margin=None, **kwargs):
                return m(**kwargs)
            loss = RewardTrainer.compute_loss(trainer, model, inputs)
            metrics = {name: values[0] for name, values in trainer._metrics["train"].items() if name != "num_tokens"}
            cases.append({
                "margins": margins, "center": center or 0, "loss": loss.item(), "metrics": metrics,
                "gradients": gradients(m, loss),
            })
    scores = m(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
    return {"pairs": pairs, "scores": [s for i in range(4) for s in (scores[i], scores[4 + i])], "cases": cases}


class Tokenizer:
    """A tokenizer for texts of numbers, which are the token ids."""

    bos_token_id = None

    def __call__(self, text, add_special_tokens):
        return {"input_ids": self.encode(text, add_special_tokens)}

    def encode(self, text, add_special_tokens):
        return [int(x) for x in text.split()]


def prm_trainer(path):
    """Returns a PRMTrainer with tokenize_row of the given file, whose imports fail with current TRL."""
    text = open(path).read()
    body = re.search(r"    def tokenize_row\(.*?(?=\n    # Ensure)", text, re.S).group()
    scope = {"chain": __import__("itertools").chain}
    exec("class PRMTrainer:\n    @staticmethod\n" + body, scope)
    return scope["PRMTrainer"]


def process(rng, m, trainer):
    m.eval()  # DeepseekV3ForTokenClassification has dropout before its head, which PRMTrainer disables
    solutions, rows = [], []
    for _ in range(4):
        steps = [[rng.randint(1, 14) for _ in range(rng.randint(1, 4))] for _ in range(rng.randint(1, 4))]
        prompt = [rng.randint(1, 14) for _ in range(rng.randint(1, 4))]
        def text(ids):
            return " ".join(map(str, ids))
        row = trainer.tokenize_row(
            {"prompt": text(prompt), "completions": [text(s) for s in steps], "labels": [rng.random() < 0.5 for _ in steps]},
            Tokenizer(), str(SEPARATOR), max_length=None, max_prompt_length=None, max_completion_length=None,
            train_on_last_step_only=False, is_eval=False)
        rows.append(row)
        solutions.append({"prompt": prompt, "completion": row["input_ids"][len(prompt):], "labels": row["labels"][len(prompt):]})
    width = max(len(r["input_ids"]) for r in rows)
    ids = torch.tensor([r["input_ids"] + [PAD] * (width - len(r["input_ids"])) for r in rows])
    mask = torch.tensor([[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in rows])
    labels = torch.tensor([r["labels"] + [-100] * (width - len(r["labels"])) for r in rows])
    out = m(input_ids=ids, attention_mask=mask, labels=labels)
    return {
        "solutions": solutions, "logits": out.logits[labels >= 0].tolist(), "loss": out.loss.item(),
        "gradients": gradients(m, out.loss),
    }


def main():
    rng = random.Random(21)
    out = {"trl": trl.__version__, "transformers": transformers.__version__, "separator": SEPARATOR}
    sequence, token = (DeepseekV3ForSequenceClassification, 1), (DeepseekV3ForTokenClassification, 2)
    states = write(*sequence, 3, "outcome_model"), write(*token, 4, "process_model")
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    out["outcome"] = outcome(rng, double(*sequence, states[0]))
    out["process"] = process(rng, double(*token, states[1]), prm_trainer(sys.argv[1]))
    with open(os.path.join(HERE, "reward_model.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
