"""Writes types.gguf, with a tensor of each type and metadata of each type, and types.f32, the
values to which the package gguf (0.19.0) dequantises the tensors, in order of their names.

    pip install gguf && python generate.py
"""
import os

import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFReader, GGUFValueType, GGUFWriter, quants

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(17)


def blocks(t, rows, width):
    """Random blocks of a type to which the package cannot quantise: elements are random bits,
    and the F16 at the given offsets are scales."""
    size, scales = {Type.Q4_K: (144, (0, 2)), Type.Q6_K: (210, (208,))}[t]
    b = rng.integers(0, 256, (rows * width // 256, size), dtype=np.uint8)
    for at in scales:
        b[:, at:at + 2] = rng.normal(0, 0.1, (len(b), 1)).astype(np.float16).view(np.uint8)
    return b.reshape(rows, -1)


w = GGUFWriter(os.path.join(here, "types.gguf"), "test")
for name, t, v in [("u8", GGUFValueType.UINT8, 200), ("i8", GGUFValueType.INT8, -100),
                   ("u16", GGUFValueType.UINT16, 60000), ("i16", GGUFValueType.INT16, -30000),
                   ("u32", GGUFValueType.UINT32, 4000000000), ("i32", GGUFValueType.INT32, -2000000000),
                   ("u64", GGUFValueType.UINT64, 2**63 + 5), ("i64", GGUFValueType.INT64, -2**62),
                   ("f32", GGUFValueType.FLOAT32, 0.5), ("f64", GGUFValueType.FLOAT64, 0.1),
                   ("bool", GGUFValueType.BOOL, True), ("string", GGUFValueType.STRING, "Grüße 🙂")]:
    w.add_key_value("value." + name, v, t)
w.add_array("array.string", ["a", "", "汉字"])
w.add_array("array.int", [1, -2, 3])
w.add_array("array.float", [0.5, -1.5])
w.add_array("array.bool", [True, False])
for t in [Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q4_K, Type.Q6_K]:
    rows, width = (2, 512) if t in (Type.Q4_K, Type.Q6_K) else (3, 64)
    if t in (Type.Q4_K, Type.Q6_K):
        data = blocks(t, rows, width)
    else:
        x = rng.normal(0, 1, (rows, width)).astype(np.float32)
        x[1, :32] = 0  # a block of zeros
        data = quants.quantize(x, t)
    w.add_tensor(t.name.lower(), data, raw_dtype=t)
    if t == Type.F32:
        floats = x
for t in [Type.F16, Type.Q8_0]:
    w.add_tensor("f32_as_" + t.name.lower(), quants.quantize(floats, t), raw_dtype=t)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

with open(os.path.join(here, "types.f32"), "wb") as f:
    for t in sorted(GGUFReader(os.path.join(here, "types.gguf")).tensors, key=lambda t: t.name):
        f.write(np.ascontiguousarray(quants.dequantize(t.data, t.tensor_type), np.float32).tobytes())
