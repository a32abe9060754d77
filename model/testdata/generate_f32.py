#!/usr/bin/env python3
"""Writes golden_f32/<case>/{config.json,generation_config.json,model.safetensors,expected.safetensors}.

Checkpoints in the form in which users get them: tiny random models that save_pretrained
of the version of transformers below wrote, in F32, BF16 or FP8, with its own config.json
or with one that has the keys of the model's publisher. Logits, losses, gradients and
greedy tokens are computed by transformers' own classes in float32 on the weights in the
file, one sequence at a time. generate.py does the same in float64 with an older version,
and includes the balance loss.

    pip install torch==2.15.0 transformers==5.24.0 safetensors
    python generate_f32.py

Two parts are not written by save_pretrained; this script writes them as DeepSeek-V3 does:
  - FP8: matrices of the layers are quantised in blocks of 128×128 with scale_inv =
    max|w|/448; transformers then computes with E4M3 · scale_inv in float32. Embedding,
    head, routers, eh_proj and norms stay BF16. A width of 136 gives partial blocks at
    the edges.
  - multi-token prediction (DeepSeek-V3 section 2.2, eq. 21-25), built from transformers'
    decoder layer, norms, embedding and head, and saved with copies of the last two.
All files are read again by transformers and must give the logits that were computed
before they were written. FP8 files are read without their scales, since transformers
needs a GPU for these.

expected.safetensors has the tensors of generate.py, in F32 instead of F64, without the
balance loss, and with 64 greedy tokens. Its metadata names the versions.
"""

import itertools
import json
import logging
import math
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3

torch.set_num_threads(1)
logging.disable(logging.WARNING)
transformers.utils.logging.disable_progress_bar()

MARGIN = 1e-3  # of every selection: experts, groups of experts, greedy tokens
EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
PROMPT, NEW, DISTINCT = 5, 64, 12  # DISTINCT: minimum number of different generated tokens
LENGTHS = (18, 7, 3)
LAMBDA = 0.3
BLOCK = 128

COMMON = {
    "vocab_size": 40, "hidden_size": 24, "intermediate_size": 36, "max_position_embeddings": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "bos_token_id": 0, "eos_token_id": 1,
}
MLA = COMMON | {
    "first_k_dense_replace": 1, "kv_lora_rank": 12, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 5,
    "moe_intermediate_size": 6, "n_routed_experts": 8, "num_experts_per_tok": 2,
}
FAMILIES = {
    "deepseek_v3": MLA | {"model_type": "deepseek_v3", "n_shared_experts": 2, "routed_scaling_factor": 2.446,
                          "norm_topk_prob": True},
    "deepseek_v3_mtp": MLA | {"model_type": "deepseek_v3", "n_shared_experts": 1, "routed_scaling_factor": 2.5,
                              "norm_topk_prob": True, "num_nextn_predict_layers": 1},
    "deepseek_v2": MLA | {"model_type": "deepseek_v2", "n_shared_experts": 2, "routed_scaling_factor": 1.5,
                          "norm_topk_prob": False},
    "qwen2": COMMON | {"model_type": "qwen2", "num_key_value_heads": 2, "rope_theta": 1000000.0},
    "qwen3": COMMON | {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 8, "rope_theta": 1000000.0},
    "qwen3_moe": COMMON | {"model_type": "qwen3_moe", "num_key_value_heads": 2, "head_dim": 8, "rope_theta": 1000000.0,
                           "moe_intermediate_size": 6, "num_experts": 8, "num_experts_per_tok": 3},
    "llama": COMMON | {"model_type": "llama", "num_key_value_heads": 1, "rope_theta": 500000.0, "rms_norm_eps": 1e-5},
}
LENGTH = {"factor": 4.0, "original_max_position_embeddings": 24}
LLAMA3 = LENGTH | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = LENGTH | {"type": "yarn"}
DEEPSEEK_YARN = YARN | {"beta_fast": 32, "beta_slow": 1}

# Every pair of values of two columns occurs in some row of a table. The first four rows correspond to DeepSeek-V3,
# Moonlight, V2 and V2-Lite.
MLA_COLUMNS = ("family", "dtype", "query", "scaled", "groups", "tied", "old")
MLA_CASES = [
    ("deepseek_v3_mtp", "FP8", 1, 1, 1, 0, 1),
    ("deepseek_v3", "BF16", 0, 0, 0, 0, 1),
    ("deepseek_v2", "BF16", 1, 1, 1, 0, 0),
    ("deepseek_v2", "F32", 0, 1, 0, 0, 1),
    ("deepseek_v3_mtp", "F32", 0, 0, 1, 1, 0),
    ("deepseek_v2", "FP8", 1, 0, 0, 1, 0),
    ("deepseek_v3", "F32", 1, 1, 1, 1, 1),
    ("deepseek_v3_mtp", "BF16", 1, 0, 0, 1, 0),
    ("deepseek_v3", "FP8", 0, 1, 0, 0, 0),
]
GQA_COLUMNS = ("family", "dtype", "scaled", "tied", "old")
GQA_CASES = [
    ("llama", "BF16", 1, 0, 0),
    ("qwen3", "BF16", 0, 1, 1),
    ("qwen2", "FP8", 0, 1, 0),
    ("qwen2", "F32", 1, 0, 1),
    ("llama", "FP8", 0, 0, 1),
    ("llama", "F32", 0, 1, 0),
    ("qwen3", "FP8", 1, 0, 0),
    ("qwen2", "BF16", 1, 1, 1),
    ("qwen3", "F32", 0, 1, 0),
    ("qwen3_moe", "FP8", 1, 1, 1),
    ("qwen3_moe", "F32", 0, 0, 0),
    ("qwen3_moe", "BF16", 0, 0, 1),
]


def check_pairs(columns, cases):
    for a, b in itertools.combinations(range(len(columns)), 2):
        values = lambda c: {row[c] for row in cases}
        missing = set(itertools.product(values(a), values(b))) - {(row[a], row[b]) for row in cases}
        assert not missing, (columns[a], columns[b], missing)


def stride(size):
    return -(-size // 48)


def settings(case):
    """The config of a case, with the keys of transformers.AutoConfig.for_model."""
    c = FAMILIES[case["family"]] | {"tie_word_embeddings": bool(case["tied"])}
    if case["dtype"] == "FP8":
        c["intermediate_size"] = BLOCK + 8
    if case["family"] == "qwen3_moe":  # dense layers by both keys, and weights that are not normalised
        c |= {"decoder_sparse_step": 2 if case["dtype"] == "FP8" else 1, "norm_topk_prob": case["dtype"] != "BF16",
              "mlp_only_layers": [1] if case["dtype"] == "BF16" else []}
    mla = "query" in case
    if mla:
        c["q_lora_rank"] = 16 if case["query"] else None
        c |= {"n_group": 4, "topk_group": 2} if case["groups"] else {"n_group": 1, "topk_group": 1}
        if c["model_type"] == "deepseek_v2":
            c["topk_method"] = "group_limited_greedy" if case["groups"] else "greedy"
    if case["scaled"]:
        c["rope_scaling"] = dict(LLAMA3 if case["family"] == "llama" else YARN)
        if mla:
            lite = c["model_type"] == "deepseek_v2"
            c["rope_scaling"] = DEEPSEEK_YARN | ({"mscale": 0.707, "mscale_all_dim": 0.707} if lite else
                                                 {"mscale": 1.0, "mscale_all_dim": 1.0} if case["dtype"] == "FP8" else
                                                 {"mscale": 0.707, "mscale_all_dim": 1.0})
    return c


def published(case):
    """config.json with the keys of the model's publisher."""
    c = settings(case)
    names = {"deepseek_v3": "DeepseekV3", "deepseek_v2": "DeepseekV2", "qwen2": "Qwen2", "qwen3": "Qwen3",
             "qwen3_moe": "Qwen3Moe", "llama": "Llama"}
    name = names[c["model_type"]]
    c = {
        "architectures": [name + "ForCausalLM"], "attention_dropout": 0.0, "hidden_act": "silu",
        "initializer_range": 0.02, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 10000, "use_cache": True,
        "torch_dtype": "float32" if case["dtype"] == "F32" else "bfloat16", "transformers_version": "4.33.1",
    } | c
    if name.startswith("Deepseek"):
        c |= {
            "auto_map": {"AutoConfig": f"configuration_deepseek.{name}Config",
                         "AutoModelForCausalLM": f"modeling_deepseek.{name}ForCausalLM"},
            "attention_bias": False, "aux_loss_alpha": 0.001, "ep_size": 1, "moe_layer_freq": 1, "pretraining_tp": 1,
            "seq_aux": True, "num_nextn_predict_layers": c.get("num_nextn_predict_layers", 0),
            "scoring_func": "sigmoid" if name.endswith("3") else "softmax",
            "topk_method": c.get("topk_method", "noaux_tc"),
        }
    elif name.startswith("Qwen"):
        c |= {"sliding_window": 48, "use_sliding_window": False, "max_window_layers": 1}
    if name.startswith("Qwen3") or name == "Llama":
        c["attention_bias"] = False
    if name == "Qwen3Moe":
        c |= {"output_router_logits": False, "router_aux_loss_coef": 0.001}
    if name == "Llama":
        c |= {"mlp_bias": False, "pretraining_tp": 1}
    return c


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
        angles = model.model.rotary_emb(x, position)
        return self.block(x, attention_mask=mask, position_ids=position, position_embeddings=angles)


def pieces(name, x):
    """The checkpoint tensors in a tensor of transformers: one per expert if it is a stack."""
    if not name.endswith((".experts.gate_up_proj", ".experts.down_proj")):
        return [(name, x)]
    prefix, which = name.rsplit(".", 1)
    if which == "down_proj":
        return [(f"{prefix}.{e}.down_proj.weight", x[e]) for e in range(len(x))]
    half = x.shape[1] // 2
    return [p for e in range(len(x)) for p in
            ((f"{prefix}.{e}.gate_proj.weight", x[e, :half]), (f"{prefix}.{e}.up_proj.weight", x[e, half:]))]


def quantised(name):
    return name.endswith("_proj.weight") and not name.endswith("eh_proj.weight")


def quantise(w):
    """E4M3 elements and the scale_inv of their blocks."""
    rows, columns = w.shape
    scale = torch.empty(-(-rows // BLOCK), -(-columns // BLOCK))
    q = torch.empty(w.shape, dtype=torch.float8_e4m3fn)
    for i, j in itertools.product(range(scale.shape[0]), range(scale.shape[1])):
        at = slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK)
        scale[i, j] = w[at].abs().max() / 448
        q[at] = (w[at] / scale[i, j]).to(torch.float8_e4m3fn)
    return q, scale


def dequantise(q, scale):
    return q.float() * scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[: q.shape[0], : q.shape[1]]


class Golden:
    """A model with the router margins of its forward passes. fp8 has the quantised tensors and their scales."""

    def __init__(self, config, case, seed):
        self.config, self.dtype = config, case["dtype"]
        self.model = AutoModelForCausalLM.from_config(config, **EAGER, dtype=torch.float32).eval()
        depth = config.num_nextn_predict_layers if case["family"].endswith("mtp") else 0
        self.mtp = torch.nn.ModuleList(MTP(config, config.num_hidden_layers + k) for k in range(depth)).eval()
        self.margin = math.inf
        self.fp8 = {}
        torch.manual_seed(seed)
        with torch.no_grad():
            for name, x in self.named():
                x.copy_(self.draw(name, x))
                for part, view in pieces(name, x):
                    view.copy_(self.stored(part, view))
        for name, m in list(self.model.named_modules()) + list(self.mtp.named_modules()):
            if name.endswith("mlp.gate"):
                m.register_forward_hook(self.routed)
        self.model.model.norm.register_forward_hook(lambda m, args, out: setattr(self, "stream", args[0]))

    def named(self):
        """Parameters and selection biases."""
        own = lambda m: list(m.named_parameters()) + [b for b in m.named_buffers() if "correction" in b[0]]
        yield from own(self.model)
        for k, m in enumerate(self.mtp):
            for name, x in own(m):
                yield f"model.layers.{self.config.num_hidden_layers + k}." + name.removeprefix("block."), x

    def draw(self, name, x):
        if "correction" in name:
            return 0.1 * torch.randn_like(x)
        if name.endswith("bias"):
            return 0.5 * torch.randn_like(x)
        if x.dim() == 1:
            return 1 + 0.2 * torch.randn_like(x)
        if "embed_tokens" in name:
            return (0.3 if self.config.tie_word_embeddings else 1.0) * torch.randn_like(x)
        factor = 2.0 if "lm_head" in name or "gate.weight" in name else 1.2
        return factor / math.sqrt(x.shape[-1]) * torch.randn_like(x)

    def stored(self, name, x):
        """The values of x after rounding to the dtype of the file."""
        if self.dtype == "F32":
            return x
        if self.dtype == "FP8" and quantised(name):
            self.fp8[name] = quantise(x)
            return dequantise(*self.fp8[name])
        return x.bfloat16().float()

    def routed(self, gate, args, out):
        """Records the smallest margin of the router's selections."""
        c = self.config
        sigmoid = c.model_type == "deepseek_v3"
        with torch.no_grad():
            logits = args[0].reshape(-1, c.hidden_size) @ gate.weight.T
            choice = logits.sigmoid() + gate.e_score_correction_bias if sigmoid else logits.softmax(-1)
            if getattr(c, "topk_group", 1) < getattr(c, "n_group", 1):
                groups = choice.view(len(choice), c.n_group, -1)
                rank = groups.topk(2, -1)[0].sum(-1) if sigmoid else groups.max(-1)[0]
                ordered = rank.sort(-1, descending=True)
                self.lower(ordered[0][:, c.topk_group - 1] - ordered[0][:, c.topk_group])
                kept = torch.zeros_like(rank).scatter_(1, ordered[1][:, : c.topk_group], 1)
                choice = choice.masked_fill(kept.repeat_interleave(groups.shape[-1], 1) == 0, -math.inf)
            best, index = choice.sort(-1, descending=True)
            k = c.num_experts_per_tok
            self.lower(best[:, k - 1] - best[:, k])
            assert torch.equal(index[:, :k].sort()[0], out[2].sort()[0]) or self.margin < MARGIN

    def lower(self, margins):
        self.margin = min(self.margin, margins.min().item())

    def run(self, ids, weight, total):
        """Logits and the two losses of one sequence, given the sum of the weights of its batch."""
        logits = self.model(input_ids=ids[None, :-1], use_cache=False).logits[0]
        nll = lambda z, target, w: -(w * z.log_softmax(-1).gather(1, target[:, None])[:, 0]).sum() / total
        losses = [nll(logits, ids[1:], weight), torch.zeros(())]
        h = self.stream
        for k, module in enumerate(self.mtp, start=1):
            rows = len(ids) - 1 - k  # row i belongs to t_i, reads t_{i+k}, predicts t_{i+k+1}
            if rows < 1:
                break
            h = module(self.model, h[:, :rows], ids[None, k : k + rows])
            z = self.model.lm_head(module.shared_head["norm"](h))[0]
            losses[1] = losses[1] + LAMBDA / len(self.mtp) * nll(z, ids[k + 1 :], weight[k:])
        return logits, torch.stack(losses)

    @torch.no_grad()
    def greedy(self, prompt):
        ids = prompt
        for _ in range(NEW):
            best, token = self.model(input_ids=ids[None], use_cache=False).logits[0, -1].topk(2)
            self.lower(best[:1] - best[1:])
            if self.margin < MARGIN:
                break
            ids = torch.cat([ids, token[:1]])
        return ids[len(prompt) :]

    @torch.no_grad()
    def save(self, folder, case):
        dtype = torch.float32 if self.dtype == "F32" else torch.bfloat16
        biases = {n: x.detach().clone() for n, x in self.named() if "correction" in n}  # F32 in every file
        self.model.to(dtype).save_pretrained(folder)
        file = folder / "model.safetensors"
        tensors = load_file(file)
        for k, m in enumerate(self.mtp):
            prefix = f"model.layers.{self.config.num_hidden_layers + k}."
            for name, x in self.named():
                if name.startswith(prefix):
                    tensors |= {p: view.to(dtype) for p, view in pieces(name, x)}
            tensors[prefix + "embed_tokens.weight"] = self.model.model.embed_tokens.weight
            tensors[prefix + "shared_head.head.weight"] = self.model.lm_head.weight
        tensors |= biases
        for name, (q, scale) in self.fp8.items():
            assert name in tensors
            tensors |= {name: q, name + "_scale_inv": scale}
        write(tensors, file)
        path = folder / "config.json"
        config = published(case) if case["old"] else json.loads(path.read_text())
        if self.fp8:
            config["quantization_config"] = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                             "weight_block_size": [BLOCK, BLOCK]}
        path.write_text(json.dumps(config, indent=2) + "\n")
        return tensors


def write(tensors, file):
    save_file({p: x.detach().clone().contiguous() for p, x in tensors.items()}, file, metadata={"format": "pt"})


def read_again(folder, tensors, fp8):
    """The model that transformers loads from a folder."""
    if not fp8:
        return AutoModelForCausalLM.from_pretrained(folder, **EAGER, dtype=torch.float32).eval()
    plain = folder / "plain"
    plain.mkdir()
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (plain / "config.json").write_text(json.dumps(config))
    for name, (q, scale) in fp8.items():
        tensors[name] = dequantise(q, scale)
        del tensors[name + "_scale_inv"]
    write({p: x.float() for p, x in tensors.items()}, plain / "model.safetensors")
    model = read_again(plain, None, None)
    shutil.rmtree(plain)
    return model


def generate(case, out):
    options = [k for k in ("query", "scaled", "groups", "tied", "old") if case.get(k)]
    name = "_".join([case["family"], case["dtype"].lower()] + options)
    config = transformers.AutoConfig.for_model(**settings(case))
    for seed in range(2000):
        g = Golden(config, case, seed)
        sequences = [torch.randint(0, config.vocab_size, (n,)) for n in LENGTHS]
        weights = [torch.ones(LENGTHS[0] - 1), torch.randint(0, 5, (LENGTHS[1] - 1,)) / 4.0, torch.ones(LENGTHS[2] - 1)]
        total = sum(w.sum() for w in weights)
        runs = [g.run(ids, w, total) for ids, w in zip(sequences, weights)]
        logits = torch.cat([z for z, _ in runs]).detach()
        if g.margin < MARGIN or logits.std() < 1:
            continue
        greedy = g.greedy(sequences[0][:PROMPT])
        if g.margin >= MARGIN and len(greedy.unique()) >= DISTINCT:
            break
    else:
        raise SystemExit(f"{name}: no seed gives the required margin")
    losses = sum(l for _, l in runs)
    losses.sum().backward()
    expected = {"logits": logits, "loss": losses.detach(), "greedy": greedy.int()}
    for i, (ids, w) in enumerate(zip(sequences, weights)):
        expected |= {f"ids.{i}": ids.int(), f"weight.{i}": w}
    for p, x in g.named():
        if x.grad is not None:
            for part, grad in pieces(p, x.grad):
                grad = grad.flatten()
                if grad.norm() == 0:  # an expert that no token is routed to
                    continue
                expected["grad." + part] = torch.cat([grad[:: stride(len(grad))], grad.norm()[None]])
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tensors = g.save(folder, case)
    with torch.no_grad():
        again = read_again(folder, tensors, g.fp8)(input_ids=sequences[0][None, :-1], use_cache=False).logits[0]
    difference = (again - logits[: len(again)]).abs().max() / logits.abs().max()
    assert difference <= 1e-6, f"{name}: logits of the written folder differ by {difference}"
    versions = {"versions": f"transformers {transformers.__version__}, torch {torch.__version__}"}
    save_file({p: x.contiguous() for p, x in expected.items()}, folder / "expected.safetensors", metadata=versions)
    print(f"{name}: seed {seed}, margin {g.margin:.1e}, logits {logits.std():.2f}, losses {losses.tolist()}")


if __name__ == "__main__":
    check_pairs(MLA_COLUMNS, MLA_CASES)
    check_pairs(GQA_COLUMNS, GQA_CASES)
    for columns, cases in ((MLA_COLUMNS, MLA_CASES), (GQA_COLUMNS, GQA_CASES)):
        for row in cases:
            generate(dict(zip(columns, row)), pathlib.Path(__file__).parent / "golden_f32")
