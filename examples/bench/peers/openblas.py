#!/usr/bin/env python3
"""Times cblas_sgemm of OpenBLAS; prints one JSON object for each shape."""
import argparse
import ctypes
import ctypes.util
import json
import statistics
import time

import numpy as np

ROW_MAJOR, NO_TRANS, TRANS = 101, 111, 112
FEW_ROWS, COLD_BYTES, MOST_TURNS = 64, 256 << 20, 64  # as in matmul.go


def load(threads):
    name = ctypes.util.find_library("openblas") or "libopenblas.so.0"
    lib = ctypes.CDLL(name)
    lib.openblas_get_config.restype = ctypes.c_char_p
    lib.openblas_set_num_threads(threads)
    return lib


def sgemm(lib, m, n, k, a, b, c, trans_b):
    lib.cblas_sgemm(
        ROW_MAJOR, NO_TRANS, TRANS if trans_b else NO_TRANS, m, n, k, ctypes.c_float(1),
        a.ctypes.data_as(ctypes.c_void_p), k, b.ctypes.data_as(ctypes.c_void_p), k if trans_b else n,
        ctypes.c_float(0), c.ctypes.data_as(ctypes.c_void_p), n)


def measure(lib, m, n, k, seconds):
    """Returns the median seconds of a product, with B or its transpose stored, whichever is faster."""
    rng = np.random.default_rng(1)
    cold = m <= FEW_ROWS and 4 * n * k * MOST_TURNS >= COLD_BYTES
    copies = max(COLD_BYTES // (4 * n * k), 1) if cold else 1
    a = rng.standard_normal((m, k), dtype=np.float32)
    weights = [rng.standard_normal((k, n), dtype=np.float32) for _ in range(copies)]
    c = np.empty((m, n), np.float32)
    best = None
    for trans_b in (False, True):
        times, calls = [], 1
        sgemm(lib, m, n, k, a, weights[0], c, trans_b)
        end = time.perf_counter() + seconds / 2
        i = 0
        while len(times) < 3 or time.perf_counter() < end:
            began = time.perf_counter()
            for _ in range(calls):
                sgemm(lib, m, n, k, a, weights[i % copies], c, trans_b)
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
    lib = load(o.threads)
    for shape in o.shapes.split(","):
        m, n, k = map(int, shape.split("x"))
        t = measure(lib, m, n, k, o.seconds)
        print(json.dumps({
            "workload": "matmul", "shape": shape, "format": "f32", "threads": o.threads,
            "value": 2 * m * n * k / t / 1e9, "unit": "GFLOP/s", "peer": lib.openblas_get_config().decode(),
        }), flush=True)


if __name__ == "__main__":
    main()
