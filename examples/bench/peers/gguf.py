#!/usr/bin/env python3
"""Writes GGUF files with random weights and the shapes of a published model: one in
BF16, and Q8_0 and Q4_0 that llama.cpp quantises from it. For timing only."""
import argparse
import math
import os
import struct

import llama_cpp
import numpy as np

F32, BF16 = 0, 30  # ggml types
MOSTLY_BF16, ALIGN = 32, 32


class File:
    """Collects metadata and tensors, then writes them."""

    def __init__(self, arch):
        self.arch, self.meta, self.tensors = arch, [], []
        self.text("general.architecture", arch, prefix=False)
        self.text("tokenizer.ggml.model", "no_vocab", prefix=False)
        self.int("general.file_type", MOSTLY_BF16, prefix=False)
        self.int("general.alignment", ALIGN, prefix=False)

    def key(self, key, prefix, kind, value):
        self.meta.append(string(self.arch + "." + key if prefix else key) + struct.pack("<I", kind) + value)

    def int(self, key, value, prefix=True):
        self.key(key, prefix, 4, struct.pack("<I", value))

    def float(self, key, value):
        self.key(key, True, 6, struct.pack("<f", value))

    def bool(self, key, value):
        self.key(key, True, 7, struct.pack("<B", value))

    def text(self, key, value, prefix=True):
        self.key(key, prefix, 8, string(value))

    def matrix(self, name, *dims):  # input size first, as in ggml
        self.tensors.append((name + ".weight", dims, BF16))

    def table(self, name, *dims):
        self.tensors.append((name, dims, F32))

    def write(self, path):
        rng = np.random.default_rng(0)
        pool = rng.standard_normal(1 << 24, dtype=np.float32) * 0.02
        half = (pool.view(np.uint32) >> 16).astype(np.uint16)
        infos, at = b"", 0
        for name, dims, kind in self.tensors:
            infos += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
            infos += struct.pack("<IQ", kind, at)
            at += padded(math.prod(dims) * (2 if kind == BF16 else 4))
        header = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.meta)) + b"".join(self.meta) + infos
        with open(path, "wb") as f:
            pad(f, header)
            for name, dims, kind in self.tensors:
                n = math.prod(dims)
                if kind == F32:
                    pad(f, (np.ones(n, np.float32) if "norm" in name else pool[:n]).tobytes())
                else:  # slices of the pool from random offsets
                    written = 0
                    while written < n:
                        start = int(rng.integers(1 << 20))
                        part = half[start:start + n - written]
                        f.write(part.tobytes())
                        written += len(part)
                    f.write(bytes(padded(2 * n) - 2 * n))


def string(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def padded(n):
    return -(-n // ALIGN) * ALIGN


def pad(f, data):
    f.write(data + bytes(padded(len(data)) - len(data)))


def common(f, layers, width, heads, kv_heads, ffn, vocab, length, eps):
    f.int("block_count", layers)
    f.int("context_length", length)
    f.int("embedding_length", width)
    f.int("feed_forward_length", ffn)
    f.int("attention.head_count", heads)
    f.int("attention.head_count_kv", kv_heads)
    f.float("attention.layer_norm_rms_epsilon", eps)
    f.float("rope.freq_base", 10000.0)
    f.int("vocab_size", vocab)
    f.matrix("token_embd", width, vocab)
    f.table("output_norm.weight", width)
    f.matrix("output", width, vocab)


def qwen(layers):
    """Returns the file of R1-Distill-Qwen-1.5B."""
    f = File("qwen2")
    layers, width, heads, kv, ffn, dim = layers or 28, 1536, 12, 2, 8960, 128
    common(f, layers, width, heads, kv, ffn, 151936, 131072, 1e-6)
    for i in range(layers):
        p = f"blk.{i}."
        f.table(p + "attn_norm.weight", width)
        for name, out in ("q", heads * dim), ("k", kv * dim), ("v", kv * dim):
            f.matrix(p + "attn_" + name, width, out)
            f.table(p + f"attn_{name}.bias", out)
        f.matrix(p + "attn_output", heads * dim, width)
        f.table(p + "ffn_norm.weight", width)
        f.matrix(p + "ffn_gate", width, ffn)
        f.matrix(p + "ffn_up", width, ffn)
        f.matrix(p + "ffn_down", ffn, width)
    return f


def v2_lite(layers):
    """Returns the file of DeepSeek-V2-Lite."""
    f = File("deepseek2")
    layers, width, heads, rank, nope, rope, value = layers or 27, 2048, 16, 512, 128, 64, 128
    experts, top, shared, expert, dense = 64, 6, 2, 1408, 10944
    common(f, layers, width, heads, heads, dense, 102400, 163840, 1e-6)
    f.int("expert_used_count", top)
    f.int("leading_dense_block_count", 1)
    f.int("attention.q_lora_rank", 0)  # llama.cpp requires it unless there are 27 layers
    f.int("attention.kv_lora_rank", rank)
    f.int("attention.key_length", nope + rope)
    f.int("attention.value_length", value)
    f.int("expert_feed_forward_length", expert)
    f.int("expert_count", experts)
    f.int("expert_shared_count", shared)
    f.float("expert_weights_scale", 1.0)
    f.bool("expert_weights_norm", False)
    f.int("expert_gating_func", 1)
    f.int("rope.dimension_count", rope)
    f.text("rope.scaling.type", "yarn")
    f.float("rope.scaling.factor", 40.0)
    f.int("rope.scaling.original_context_length", 4096)
    f.float("rope.scaling.yarn_log_multiplier", 0.0707)
    for i in range(layers):
        p = f"blk.{i}."
        f.table(p + "attn_norm.weight", width)
        f.table(p + "attn_kv_a_norm.weight", rank)
        f.matrix(p + "attn_q", width, heads * (nope + rope))
        f.matrix(p + "attn_kv_a_mqa", width, rank + rope)
        f.matrix(p + "attn_kv_b", rank, heads * (nope + value))
        f.matrix(p + "attn_output", heads * value, width)
        f.table(p + "ffn_norm.weight", width)
        if i == 0:
            f.matrix(p + "ffn_gate", width, dense)
            f.matrix(p + "ffn_up", width, dense)
            f.matrix(p + "ffn_down", dense, width)
            continue
        f.table(p + "ffn_gate_inp.weight", width, experts)
        f.matrix(p + "ffn_gate_exps", width, expert, experts)
        f.matrix(p + "ffn_up_exps", width, expert, experts)
        f.matrix(p + "ffn_down_exps", expert, width, experts)
        f.matrix(p + "ffn_gate_shexp", width, expert * shared)
        f.matrix(p + "ffn_up_shexp", width, expert * shared)
        f.matrix(p + "ffn_down_shexp", expert * shared, width)
    return f


def quantise(source, target, kind):
    quiet = llama_cpp.llama_log_callback(lambda *_: None)  # the variable keeps the callback alive
    llama_cpp.llama_log_set(quiet, None)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = kind
    params.pure = True  # quantise all matrices, the head too, to the same format
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), params) != 0:
        raise SystemExit(f"{target}: llama.cpp could not quantise it")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("model", choices=["qwen", "v2-lite"])
    p.add_argument("folder")
    p.add_argument("--layers", type=int, default=0, help="write only this many layers (default: all)")
    o = p.parse_args()
    os.makedirs(o.folder, exist_ok=True)
    base = os.path.join(o.folder, o.model + (f"-{o.layers}" if o.layers else ""))
    (qwen if o.model == "qwen" else v2_lite)(o.layers).write(base + "-bf16.gguf")
    quantise(base + "-bf16.gguf", base + "-q8.gguf", llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0)
    quantise(base + "-bf16.gguf", base + "-q4.gguf", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0)


if __name__ == "__main__":
    main()
