#!/usr/bin/env python3
"""Writes golden/<case>/{config.json,model.safetensors,expected.safetensors}.

The models are transformers' own classes with tiny random weights; logits,
losses and gradients are computed by them in float64, one sequence at a time.

    pip install torch==2.6.0 transformers==4.57.1 safetensors
    python generate.py

transformers rounds to float32 inside norms, routers, rotary embeddings and
softmax. This script therefore replaces torch.float32 by torch.float64 before any
model is built: the classes then compute in double precision, and a float64
implementation must agree with them to 1e-9.

Two parts are not in transformers and are implemented here from the papers:
  - multi-token prediction (DeepSeek-V3 section 2.2, eq. 21-25), built from
    transformers' decoder layers, norms, embedding and head;
  - the sequence-wise balance loss (DeepSeek-V3 eq. 17-20).
One is changed: transformers' DeepseekV2Attention lacks YaRN's factor of the
softmax scale, which DeepSeek's own modeling_deepseek.py of V2 has.

expected.safetensors holds, with n sequences:
  ids.<n> I32 [T+1], weight.<n> F64 [T]   the sequences and their loss weights
  logits F64 [sum T, V]                   rows of all sequences, one after the other
  loss F64 [3]                            main, multi-token prediction, balance
  greedy I32 [24]                         continuation of the first PROMPT tokens of ids.0
  grad.<parameter> F64                    of the sum of the losses: elements 0, s, 2s, ...
                                          with s = STRIDE(size), then the Euclidean norm of all
Every selection (experts, groups of experts, greedy tokens) has a margin of at
least MARGIN, so that rounding cannot change it.
"""

import json
import math
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3

torch.float32 = torch.float = torch.float64
torch.Tensor.float = torch.Tensor.double
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

MARGIN = 1e-3
PROMPT, NEW = 5, 24
LENGTHS = (26, 9, 3)
LAMBDA, ALPHA = 0.3, 0.05


def stride(size):
    return -(-size // 48)


YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 32.0, "beta_slow": 1.0}
COMMON = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 40, "max_position_embeddings": 64,
    "num_attention_heads": 4, "num_key_value_heads": 4, "bos_token_id": 0, "eos_token_id": 1,
    "attn_implementation": "eager", "use_cache": False, "tie_word_embeddings": False,
}
MLA = COMMON | {
    "num_hidden_layers": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1, "kv_lora_rank": 12, "q_lora_rank": None,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 6, "moe_intermediate_size": 8,
    "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
}
V3 = MLA | {"model_type": "deepseek_v3", "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": True,
            "routed_scaling_factor": 2.5, "num_nextn_predict_layers": 0}
V2 = MLA | {"model_type": "deepseek_v2", "scoring_func": "softmax", "norm_topk_prob": False}
GROUPS = {"n_group": 4, "topk_group": 2}

CASES = {
    "deepseek_v3_mtp": V3 | GROUPS | {"q_lora_rank": 20, "num_nextn_predict_layers": 2},
    "deepseek_v3_groups_yarn": V3 | GROUPS | {
        "q_lora_rank": 20, "n_routed_experts": 16, "num_experts_per_tok": 3, "n_shared_experts": 2,
        "rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 1.0}},
    # An epsilon large enough to distinguish the norms that use it from the two that do not.
    "deepseek_v3_plain_query": V3 | {"rms_norm_eps": 1e-2, "rope_interleave": False, "num_hidden_layers": 3, "norm_topk_prob": False,
                                     "routed_scaling_factor": 1.5},
    "deepseek_v2_groups": V2 | GROUPS | {"q_lora_rank": 20, "topk_method": "group_limited_greedy", "routed_scaling_factor": 4.0},
    "deepseek_v2_lite": V2 | {"topk_method": "greedy", "n_shared_experts": 2, "routed_scaling_factor": 1.0,
                              "rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}},
    "qwen2_tied": COMMON | {"model_type": "qwen2", "num_hidden_layers": 2, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "llama3_scaling": COMMON | {
        "model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "rope_theta": 500.0,
        "rms_norm_eps": 1e-5,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 32}},
    "qwen3": COMMON | {"model_type": "qwen3", "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 12},
}


class MTP(torch.nn.Module):
    """An MTP module. The names of the block's parameters have no prefix of their own."""

    def __init__(self, config, layer):
        super().__init__()
        norm = lambda: v3.DeepseekV3RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.enorm, self.hnorm, self.shared_head = norm(), norm(), torch.nn.ModuleDict({"norm": norm()})
        self.eh_proj = torch.nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        self.block = v3.DeepseekV3DecoderLayer(config, layer)

    def forward(self, model, h, ids):
        x = self.eh_proj(torch.cat([self.enorm(model.model.embed_tokens(ids)), self.hnorm(h)], dim=-1))
        n = x.shape[1]
        position = torch.arange(n)[None]
        mask = torch.full((1, 1, n, n), -math.inf).triu(1)
        return self.block(x, attention_mask=mask, position_ids=position, position_embeddings=model.model.rotary_emb(x, position))


class Golden:
    """A model with the router scores and margins of its forward passes."""

    def __init__(self, config, seed):
        self.config = config
        self.model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").double().eval()
        depth = getattr(config, "num_nextn_predict_layers", 0)
        self.mtp = torch.nn.ModuleList(MTP(config, config.num_hidden_layers + k) for k in range(depth)).double().eval()
        self.margin = math.inf
        self.scores = []
        torch.manual_seed(seed)
        for name, x in self.named():
            with torch.no_grad():
                x.copy_(self.draw(name, x).bfloat16().double())
        for name, m in list(self.model.named_modules()) + list(self.mtp.named_modules()):
            if name.endswith("mlp.gate"):
                m.register_forward_hook(self.routed)
        self.model.model.norm.register_forward_hook(lambda m, args, out: setattr(self, "stream", args[0]))
        if config.model_type == "deepseek_v2" and config.rope_scaling:
            m = v3.yarn_get_mscale(config.rope_scaling["factor"], config.rope_scaling["mscale_all_dim"])
            for layer in self.model.model.layers:
                layer.self_attn.scaling *= m * m

    def named(self):
        """Parameters and selection biases by their checkpoint names."""
        seen = set()
        for name, x in list(self.model.named_parameters()) + [b for b in self.model.named_buffers() if "correction" in b[0]]:
            if x.data_ptr() not in seen:
                seen.add(x.data_ptr())
                yield name, x
        for k, m in enumerate(self.mtp):
            for name, x in list(m.named_parameters()) + [b for b in m.named_buffers() if "correction" in b[0]]:
                yield f"model.layers.{self.config.num_hidden_layers + k}." + name.removeprefix("block."), x

    def draw(self, name, x):
        if "correction" in name:
            return 0.1 * torch.randn_like(x)
        if name.endswith("bias"):
            return 0.5 * torch.randn_like(x)
        if x.dim() == 1:
            return 1 + 0.2 * torch.randn_like(x)
        if "embed_tokens" in name:
            return (0.4 if self.config.tie_word_embeddings else 1.0) * torch.randn_like(x)
        return (2.0 if "lm_head" in name or "gate.weight" in name else 1.2) / math.sqrt(x.shape[1]) * torch.randn_like(x)

    def routed(self, gate, args, out):
        """Records the router's scores and the smallest margin of its selections."""
        c = self.config
        logits = args[0].reshape(-1, c.hidden_size) @ gate.weight.T
        sigmoid = c.model_type == "deepseek_v3"
        s = logits.sigmoid() if sigmoid else logits.softmax(-1)
        self.scores.append(s)
        with torch.no_grad():
            choice = s + (gate.e_score_correction_bias if sigmoid else 0)
            if sigmoid or c.topk_method == "group_limited_greedy":
                groups = choice.view(len(s), c.n_group, -1)
                rank = groups.topk(2, -1)[0].sum(-1) if sigmoid else groups.max(-1)[0]
                ordered = rank.sort(-1, descending=True)
                if c.topk_group < c.n_group:
                    self.lower(ordered[0][:, c.topk_group - 1] - ordered[0][:, c.topk_group])
                kept = torch.zeros_like(rank).scatter_(1, ordered[1][:, : c.topk_group], 1)
                choice = choice.masked_fill(kept.repeat_interleave(groups.shape[-1], 1) == 0, -math.inf)
            best, index = choice.sort(-1, descending=True)
            k = c.num_experts_per_tok
            if k < best.shape[1]:
                self.lower(best[:, k - 1] - best[:, k])
            self.lower(best[:, k - 1])  # transformers masks by 0, the official code by -inf
            assert torch.equal(index[:, :k].sort()[0], out[0].sort()[0]) or self.margin < MARGIN

    def lower(self, margins):
        self.margin = min(self.margin, margins.min().item())

    def balance(self):
        """Sequence-wise balance loss of one sequence, over the layers of the main model."""
        c = self.config
        total = torch.zeros(())
        for s in self.scores[: c.num_hidden_layers - c.first_k_dense_replace]:
            best = s.sort(-1, descending=True)[0]
            self.lower(best[:, c.num_experts_per_tok - 1] - best[:, c.num_experts_per_tok])
            hit = torch.zeros_like(s).scatter_(1, s.topk(c.num_experts_per_tok, -1)[1], 1)
            f = hit.mean(0) * c.n_routed_experts / c.num_experts_per_tok
            total = total + ALPHA * (f * (s / s.sum(-1, keepdim=True)).mean(0)).sum()
        return total

    def run(self, ids, weight, total, count):
        """Logits and the three losses of one sequence, in a batch with the given normalisers."""
        self.scores = []
        logits = self.model(input_ids=ids[None, :-1]).logits[0]
        nll = lambda z, target, w: -(w * z.log_softmax(-1).gather(1, target[:, None])[:, 0]).sum() / total
        losses = [nll(logits, ids[1:], weight), torch.zeros(()), torch.zeros(())]
        if self.config.model_type == "deepseek_v3":
            losses[2] = self.balance() / count
        h = self.stream
        for k, module in enumerate(self.mtp, start=1):
            rows = len(ids) - 1 - k  # row i belongs to t_i, reads t_{i+k}, predicts t_{i+k+1}
            if rows < 1:
                break
            h = module(self.model, h[:, :rows], ids[None, k : k + rows])
            h = h[0] if isinstance(h, tuple) else h
            z = self.model.lm_head(module.shared_head["norm"](h))[0]
            losses[1] = losses[1] + LAMBDA / len(self.mtp) * nll(z, ids[k + 1 :], weight[k:])
        return logits, torch.stack(losses)

    @torch.no_grad()
    def greedy(self, prompt):
        ids = prompt
        for _ in range(NEW):
            best, token = self.model(input_ids=ids[None]).logits[0, -1].topk(2)
            self.lower(best[:1] - best[1:])
            ids = torch.cat([ids, token[:1]])
        return ids[len(prompt) :]


def generate(name, case, out):
    config = transformers.AutoConfig.for_model(**case)
    for seed in range(1000):
        g = Golden(config, seed)
        sequences = [torch.randint(0, config.vocab_size, (n,)) for n in LENGTHS]
        weights = [torch.ones(LENGTHS[0] - 1), torch.randint(0, 5, (LENGTHS[1] - 1,)) / 4.0, torch.ones(LENGTHS[2] - 1)]
        total = sum(w.sum() for w in weights)
        runs = [g.run(ids, w, total, len(sequences)) for ids, w in zip(sequences, weights)]
        if g.margin < MARGIN:
            continue
        greedy = g.greedy(sequences[0][:PROMPT])
        if g.margin >= MARGIN:
            break
    else:
        raise SystemExit(f"{name}: no seed gives the required margin")
    logits, losses = torch.cat([z for z, _ in runs]), sum(l for _, l in runs)
    losses.sum().backward()
    assert logits.std() >= 1
    expected = {"logits": logits, "loss": losses, "greedy": greedy.int()}
    for i, (ids, w) in enumerate(zip(sequences, weights)):
        expected |= {f"ids.{i}": ids.int(), f"weight.{i}": w}
    for p, x in g.named():
        if x.grad is not None:
            grad = x.grad.flatten()
            expected["grad." + p] = torch.cat([grad[:: stride(len(grad))], grad.norm()[None]])
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    with torch.no_grad():
        save_file({p: x.bfloat16().contiguous() for p, x in g.named()}, folder / "model.safetensors")
        save_file({p: x.detach().contiguous() for p, x in expected.items()}, folder / "expected.safetensors")
    print(f"{name}: seed {seed}, margin {g.margin:.1e}, logits {logits.std():.2f}, losses {losses.tolist()}")


if __name__ == "__main__":
    for name, case in CASES.items():
        generate(name, case, pathlib.Path(__file__).parent / "golden")
