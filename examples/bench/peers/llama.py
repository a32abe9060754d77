#!/usr/bin/env python3
"""Times llama.cpp on a GGUF file: the prefill of a prompt and the decoding after it.
Prints one JSON object for each."""
import argparse
import json
import statistics
import time

import llama_cpp as lc
import numpy as np


def decode(ctx, ids):
    tokens = (lc.llama_token * len(ids))(*ids)
    if lc.llama_decode(ctx, lc.llama_batch_get_one(tokens, len(ids))) != 0:
        raise SystemExit("llama_decode failed")
    lc.llama_get_logits(ctx)  # waits for the result


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("file")
    p.add_argument("--shape", default="", help="name of the model in the output")
    p.add_argument("--format", default="")
    p.add_argument("--prompt", type=int, default=128)
    p.add_argument("--tokens", type=int, default=32)
    p.add_argument("--plain-buffers", action="store_true", help="don't repack weights for AMX and the like")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=2)
    o = p.parse_args()

    quiet = lc.llama_log_callback(lambda *_: None)  # the variable keeps the callback alive
    lc.llama_log_set(quiet, None)
    lc.llama_backend_init()
    mp = lc.llama_model_default_params()
    mp.use_extra_bufts = not o.plain_buffers
    model = lc.llama_model_load_from_file(o.file.encode(), mp)
    if not model:
        raise SystemExit(f"{o.file}: llama.cpp could not load it")
    cp = lc.llama_context_default_params()
    cp.n_ctx = o.prompt + o.tokens + 8
    cp.n_batch = cp.n_ubatch = max(o.prompt, 32)
    cp.n_threads = cp.n_threads_batch = o.threads
    ctx = lc.llama_init_from_model(model, cp)
    vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model))
    ids = np.random.default_rng(1).integers(0, vocab, o.prompt + o.tokens).tolist()

    prefills, decodes, began = [], [], time.perf_counter()
    while len(prefills) < 4 or time.perf_counter() - began < o.seconds:
        lc.llama_memory_clear(lc.llama_get_memory(ctx), True)
        t0 = time.perf_counter()
        decode(ctx, ids[:o.prompt])
        t1 = time.perf_counter()
        for i in range(o.tokens):
            decode(ctx, ids[o.prompt + i:o.prompt + i + 1])
        t2 = time.perf_counter()
        prefills.append(t1 - t0)
        decodes.append((t2 - t1) / o.tokens)
    prefill, decoding = statistics.median(prefills[1:]), statistics.median(decodes[1:])
    for workload, value in ("prefill", o.prompt / prefill), ("decode", 1 / decoding):
        print(json.dumps({
            "workload": workload, "shape": o.shape or o.file, "format": o.format, "threads": o.threads,
            "value": value, "unit": "tok/s", "peer": "llama-cpp-python " + lc.__version__,
        }), flush=True)


if __name__ == "__main__":
    main()
