#!/usr/bin/env python3
"""Writes e4m3.txt, e5m2.txt and f16.txt: how ml_dtypes and NumPy decode and round these types.

    value CODE NUMBER        the number that a code stands for
    round NUMBER CODE        the code to which a number is rounded
    values HIGH DIGEST       f16.txt only: the first 8 bytes of the SHA-256 of the numbers, as
                             binary32, of the 256 codes whose upper byte is HIGH; NaN is 7fc00000
    rounds HIGH DIGEST       f16.txt only: likewise for the codes to which the test cases of
                             these 256 codes are rounded

The test cases of a code are the middle between its number and the next one, the binary32
numbers just below and above the middle and, for F16, the binary64 numbers just below and
above it. ml_dtypes rounds binary64 to binary32 first, and turns numbers beyond the largest
finite one into NaN (E4M3) or infinity (E5M2). Inputs are therefore clipped to the largest
finite number first, except infinities in E5M2.

    pip install numpy==2.4.6 ml_dtypes==0.6.0
    python generate_floats.py
"""

import hashlib
import pathlib

import ml_dtypes
import numpy as np

HERE = pathlib.Path(__file__).parent


def cases(low, high, count):
    """Return the middle of two float64 arrays and the numbers next to it, one row per pair."""
    middle = (low + high) / 2
    single = middle.astype(np.float32)
    assert (single == middle).all()
    return np.stack([
        middle,
        np.nextafter(single, np.float32(0)).astype(np.float64),
        np.nextafter(single, np.float32(np.inf)).astype(np.float64),
        np.nextafter(middle, 0.0),
        np.nextafter(middle, np.inf),
    ][:count], axis=1)


def number(x):
    if not np.isfinite(x):
        return str(x)
    mantissa, exponent = float(x).hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent


def float8(name, dtype):
    values = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float64)
    largest = float(ml_dtypes.finfo(dtype).max)
    lines = [f"value {code:02x} {number(x)}" for code, x in enumerate(values)]
    finite = values[:128][np.isfinite(values[:128])]
    assert (np.diff(finite) > 0).all() and finite[-1] == largest
    unit = finite[-1] - finite[-2]
    inputs = cases(finite, np.append(finite[1:], largest + unit), 3).ravel()
    inputs = np.concatenate([inputs, [largest + unit, 2 * largest, float(np.float32(1e30)), np.inf, 2.0**-149]])
    clipped = np.where(np.isinf(inputs) & (name == "e5m2"), inputs, np.clip(inputs, -largest, largest))
    codes = clipped.astype(dtype).view(np.uint8)
    lines += [f"round {number(x)} {code:02x}" for x, code in zip(inputs, codes)]
    (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def float16():
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    bits = values.view(np.uint32).copy()
    bits[np.isnan(values)] = 0x7FC00000
    lines = [f"values {high:02x} {digest(bits[high * 256:][:256])}" for high in range(256)]
    finite = values[:0x7C00].astype(np.float64)
    inputs = cases(finite, np.append(finite[1:], 65536.0), 5)
    with np.errstate(over="ignore"):
        codes = inputs.astype(np.float16).view(np.uint16)
    lines += [f"rounds {high:02x} {digest(codes[high * 256:][:256])}" for high in range(0x7C)]
    (HERE / "f16.txt").write_text("\n".join(lines) + "\n")


float8("e4m3", ml_dtypes.float8_e4m3fn)
float8("e5m2", ml_dtypes.float8_e5m2)
float16()
