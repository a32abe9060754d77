#!/usr/bin/env python3
"""Times matrix products of PyTorch, whose x86 builds compute them with MKL; prints
one JSON object a shape."""
import argparse
import json
import statistics
import time

import torch

FEW_ROWS, COLD_BYTES, MOST_TURNS = 64, 256 << 20, 64  # as in matmul.go


def measure(m, n, k, seconds):
    """Median seconds of a product, for the faster way to store B."""
    cold = m <= FEW_ROWS and 4 * n * k * MOST_TURNS >= COLD_BYTES
    copies = max(COLD_BYTES // (4 * n * k), 1) if cold else 1
    a, c = torch.randn(m, k), torch.empty(m, n)
    weights = [torch.randn(k * n) for _ in range(copies)]
    best = None
    for views in [w.view(k, n) for w in weights], [w.view(n, k).T for w in weights]:
        times, calls = [], 1
        torch.mm(a, views[0], out=c)
        end = time.perf_counter() + seconds / 2
        i = 0
        while len(times) < 3 or time.perf_counter() < end:
            began = time.perf_counter()
            for _ in range(calls):
                torch.mm(a, views[i % copies], out=c)
                i += 1
            took = time.perf_counter() - began
            if took < 0.01:
                calls *= 2
                continue
            times.append(took / calls)
        t = statistics.median(times)
        best = t if best is None else min(best, t)
    return best


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--shapes", default="1024x1024x1024,2048x2048x2048,1x4096x4096,8x4096x4096,32x4096x4096")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=2)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    blas = "MKL" if torch.backends.mkl.is_available() else "another BLAS"
    for shape in o.shapes.split(","):
        m, n, k = map(int, shape.split("x"))
        t = measure(m, n, k, o.seconds)
        print(json.dumps({
            "workload": "matmul", "shape": shape, "format": "f32", "threads": o.threads,
            "value": 2 * m * n * k / t / 1e9, "unit": "GFLOP/s", "peer": f"PyTorch {torch.__version__} with {blas}",
        }), flush=True)


if __name__ == "__main__":
    main()
