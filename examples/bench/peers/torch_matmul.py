#!/usr/bin/env python3
"""Times matrix products of PyTorch: MKL in f32, oneDNN in BF16. Operands and result
have the same dtype. Prints one JSON object for each shape and way to store B."""
import argparse
import json
import statistics
import time

import torch

FEW_ROWS, COLD_BYTES, MOST_TURNS = 64, 256 << 20, 64  # as in matmul.go
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def prepacked(w, m):
    """Returns a function that multiplies by the transpose of w, prepacked as torch.compile prepacks frozen weights."""
    if w.dtype == torch.float32 and torch.backends.mkl.is_available():
        packed = torch.ops.mkl._mkl_reorder_linear_weight(w, m)
        return lambda a: torch.ops.mkl._mkl_linear(a, packed, w, None, m)
    packed = torch.ops.mkldnn._reorder_linear_weight(w, m)
    return lambda a: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")


WAYS = {
    "A·B": lambda w, m: lambda a, b=w.t().contiguous(): a @ b,
    "A·Bᵀ": lambda w, m: lambda a: a @ w.t(),
    "prepacked": prepacked,
}


def measure(multiply, a, seconds):
    """Returns the median seconds of a product; each call uses the next of several copies of B."""
    times, calls, i = [], 1, 0
    for f in multiply:
        f(a)
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(calls):
            multiply[i % len(multiply)](a)
            i += 1
        took = time.perf_counter() - began
        if took < 0.01:
            calls *= 2
            continue
        times.append(took / calls)
    return statistics.median(times)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--shapes", default="1024x1024x1024,2048x2048x2048,1x4096x4096,8x4096x4096,32x4096x4096")
    p.add_argument("--format", choices=DTYPES, default="f32")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=2)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    dtype = DTYPES[o.format]
    for shape in o.shapes.split(","):
        m, n, k = map(int, shape.split("x"))
        size = dtype.itemsize * n * k
        cold = m <= FEW_ROWS and size * MOST_TURNS >= COLD_BYTES
        copies = max(COLD_BYTES // size, 1) if cold else 1
        a = torch.randn(m, k).to(dtype)
        for way, store in WAYS.items():
            multiply = [store(torch.randn(n, k).to(dtype), m) for _ in range(copies)]
            t = measure(multiply, a, o.seconds / len(WAYS))
            print(json.dumps({
                "workload": "matmul", "shape": shape, "format": o.format, "part": way, "threads": o.threads,
                "value": 2 * m * n * k / t / 1e9, "unit": "GFLOP/s", "peer": "PyTorch " + torch.__version__,
            }), flush=True)


if __name__ == "__main__":
    main()
