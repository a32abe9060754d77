#!/usr/bin/env python3
"""Runs examples/bench and a peer in turn on the same workloads and prints the
medians of both and their ratio. Run it from the repository's root."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Name and file of a model, and the layers it is cut to.
MODELS = {
    "r1-distill-qwen-1.5b": ("qwen", 0),
    "deepseek-v2-lite": ("v2-lite-6", 6),
}


def lines(command, env=None):
    """The JSON objects that a command prints."""
    done = subprocess.run(command, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def key(line):
    return line["workload"], line["shape"], line["format"]


class Comparison:
    """Values of ours and, for each peer, of theirs by workload, shape and format."""

    def __init__(self):
        self.ours, self.shares, self.theirs = {}, {}, {}

    def add_ours(self, found):
        for line in found:
            name = key(line) + (line.get("part", ""),)
            self.ours.setdefault(name, []).append(line["value"])
            self.shares.setdefault(name, []).append(line["share"])

    def add_theirs(self, found, setting=""):
        for line in found:
            way = ", ".join(filter(None, [line.get("part", ""), setting]))
            ways = self.theirs.setdefault(key(line), {}).setdefault(line["peer"], {})
            ways.setdefault(way, []).append(line["value"])

    def show(self):
        print(f"{'work':<44} {'ours':>9} {'±':>5} {'share':>6} {'theirs':>9} {'±':>5} {'ratio':>6}  peer")
        for name, ours in self.ours.items():
            a = statistics.median(ours)
            for peer, ways in self.theirs.get(name[:3], {}).items():  # none for a format the peers lack
                best = max(ways, key=lambda w: statistics.median(ways[w]))
                theirs = ways[best]
                b = statistics.median(theirs)
                print(f"{' '.join(filter(None, name)):<44} {a:9.1f} {spread(ours):5.0%} {statistics.median(self.shares[name]):6.0%} "
                      f"{b:9.1f} {spread(theirs):5.0%} {a / b:6.2f}  {peer}{', ' + best if best else ''}")


def spread(values):
    """How far apart the runs are, of their median."""
    return (max(values) - min(values)) / statistics.median(values)


def matmul(o, bench, c):
    shapes = o.shapes or "1024x1024x1024,2048x2048x2048,1x4096x4096,8x4096x4096,32x4096x4096"
    for _ in range(o.rounds):
        c.add_ours(lines(bench + ["-workload", "matmul", "-format", "f32", "-shapes", shapes]))
        for peer in "openblas.py", "torch_matmul.py":
            c.add_theirs(lines(script(o, peer) + ["--shapes", shapes]))


def train(o, bench, c):
    shapes = o.shapes or "4x256,12x512"
    command = script(o, "torch_train.py") + ["--shapes", shapes]
    for _ in range(o.rounds):
        for form in "f32", "bf16":
            found = lines(bench + ["-workload", "train", "-format", form, "-shapes", shapes])
            for line in found:
                if form != "f32":
                    line["part"], line["format"] = f"computed in {form}", "f32"  # beside the peer's f32
            c.add_ours(found)
        c.add_theirs(lines(command, {"OMP_WAIT_POLICY": "passive"}), "passive")
        c.add_theirs(lines(command))


def llama(o, bench, c):
    for shape in (o.shapes or ",".join(MODELS)).split(","):
        file, layers = MODELS[shape]
        for form in o.formats.split(","):
            path = os.path.join(o.models, f"{file}-{form}.gguf")
            if not os.path.exists(path):
                raise SystemExit(f"{path} is missing: gguf.py writes it")
            ours = bench + ["-workload", "decode,prefill", "-shapes", shape, "-format", form, "-layers", str(layers)]
            theirs = script(o, "llama.py") + [path, "--shape", shape, "--format", form]
            for _ in range(o.rounds):
                c.add_ours(lines(ours))
                c.add_theirs(lines(theirs))


def script(o, name):
    return [sys.executable, os.path.join(HERE, name), "--threads", str(o.threads), "--seconds", str(o.seconds)]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("what", choices=["matmul", "train", "llama"])
    p.add_argument("--shapes", default="", help="separated by commas (default: all)")
    p.add_argument("--formats", default="q8,q4,bf16", help="of llama")
    p.add_argument("--models", default="models", help="folder of gguf.py's files")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2, help="of each measurement")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "bench")
        subprocess.run(["go", "build", "-o", binary, "./examples/bench"], check=True)
        print("load average before:", *os.getloadavg(), "(ours and theirs need all cores to themselves)", flush=True)
        c = Comparison()
        {"matmul": matmul, "train": train, "llama": llama}[o.what](
            o, [binary, "-threads", str(o.threads), "-seconds", str(o.seconds)], c)
        c.show()


if __name__ == "__main__":
    main()
