"""Times BenchmarkEncode and the library tokenizers on one thread: bench.py BINARY TOKENIZERS TEXTS [ROUNDS [NAME...]].

BINARY is the package's test binary (go test -c), TOKENIZERS and TEXTS are the folders of AHA_TOKENIZERS and AHA_TEXTS.
Rounds of the two alternate, and each round encodes a text once with a new tokenizer. The figures are medians of MB/s of
user CPU time, including Go's garbage collector but not startup and loading, and the ratio by which BenchmarkEncode is
faster. The numbers of tokens must be equal.
"""

import os
import re
import resource
import statistics
import subprocess
import sys

os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "GOMAXPROCS": "1"}

from tokenizers import Tokenizer  # noqa: E402


def documents(data):
    """Returns the documents into which BenchmarkEncode splits a text."""
    out, at, most = [], 0, 64 << 10
    while at < len(data):
        n = len(data) - at
        if n > most:
            n = data.rfind(b"\n", at, at + most) + 1 - at
            if n <= 0:
                n = data.find(b"\n", at) + 1 - at
            if n <= 0:
                n = len(data) - at
        out.append(data[at:at + n].decode())
        at += n
    return out


def run(binary, name, file):
    """Runs the benchmark once and returns its user time and the number of tokens."""
    text = subprocess.run([binary, "-test.run", "^$", "-test.bench", f"^BenchmarkEncode$/^{name}$/^{re.escape(file)}$",
                           "-test.benchtime", "1x"], check=True, capture_output=True, text=True).stdout
    time, tokens = (float(re.search(r"([\d.e+]+) " + unit, text).group(1)) for unit in ("user-ns/op", "tokens"))
    return time / 1e9, int(tokens)


def library(tokenizer, texts):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    tokens = sum(len(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]) for text in texts)
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - before, tokens


def main(binary, folder, texts, rounds, names):
    os.environ |= {"AHA_TOKENIZERS": os.path.abspath(folder), "AHA_TEXTS": os.path.abspath(texts)}
    for name in names:
        for file in sorted(os.listdir(texts)):
            with open(os.path.join(texts, file), "rb") as f:
                data = f.read()
            parts, times = documents(data), ([], [])
            for _ in range(rounds):
                tokenizer = Tokenizer.from_file(os.path.join(folder, name, "tokenizer.json"))
                seconds, tokens = library(tokenizer, parts)
                times[0].append(seconds)
                seconds, got = run(binary, name, file)
                times[1].append(seconds)
                assert got == tokens, (name, file, got, tokens)
            mb = [len(data) / 1e6 / statistics.median(t) for t in times]
            print(f"{name} {file}: {len(data) / 1e6:.1f} MB, {tokens} tokens: tokenizers {mb[0]:.1f} MB/s, "
                  f"BenchmarkEncode {mb[1]:.1f} MB/s, {mb[1] / mb[0]:.1f} times", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int((sys.argv[4:5] or ["3"])[0]),
         sys.argv[5:] or ["deepseek_v3", "qwen3", "llama3_1", "smollm2"])
