#!/usr/bin/env python3
"""Runs examples/bench and its peers in turn on the same workloads and prints the
medians and ratios. Run it from the repository's root."""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = {"r1-distill-qwen-1.5b": "qwen", "deepseek-v2-lite": "v2-lite"}  # in gguf.py
PASSIVE = {"OMP_WAIT_POLICY": "passive"}


class Comparison:
    """Results of aha (ours) and of the peers (theirs) by workload, shape and format."""

    def __init__(self, o, binary):
        self.o, self.binary = o, binary
        self.ours, self.theirs, self.failed = {}, {}, {}

    def lines(self, command, env):
        """Returns the JSON objects that a command prints. A command that fails is noted and not run again."""
        command += ["--threads", str(self.o.threads), "--seconds", str(self.o.seconds)]
        name = " ".join([f"{k}={v}" for k, v in env.items()] + command)
        if name in self.failed:
            return []
        command = shlex.split(self.o.prefix) + command
        done = subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            self.failed[name] = done.returncode
            return []
        return [json.loads(line) for line in done.stdout.splitlines()]

    def run(self, *flags, note=""):
        """Runs examples/bench. note is added to the shape, for what the shape does not name."""
        for line in self.lines([self.binary, *flags], {}):
            activations = "bf16 activations" if line.get("precision") == "bf16" else ""
            ways = self.ours.setdefault(key(line, note), {})
            run = line["value"], line["share"], line["bound"]
            ways.setdefault(join(line.get("part"), activations), []).append(run)

    def peer(self, script, *flags, setting="", env={}, note=""):
        """Runs a peer. setting names in the table what env or flags change."""
        for line in self.lines([sys.executable, os.path.join(HERE, script), *flags], env):
            ways = self.theirs.setdefault(key(line, note), {}).setdefault(line["peer"], {})
            ways.setdefault(join(line.get("part"), setting), []).append(line["value"])

    def show(self):
        print(f"{'work':<58} {'ours':>9} {'±':>5} {'share':>13} {'theirs':>9} {'±':>5} {'ratio':>6}  peer")
        for name, ways in self.ours.items():
            for way, runs in ways.items():
                values, shares, bounds = zip(*runs)
                a = statistics.median(values)
                work = " ".join(filter(None, name + (way,)))
                ours = f"{work:<58} {a:9.1f} {spread(values):5.0%} {statistics.median(shares):5.0%} {bounds[0]:>7}"
                if name not in self.theirs:  # a format that no peer has
                    print(ours)
                for peer, settings in self.theirs.get(name, {}).items():
                    best = max(settings, key=lambda s: statistics.median(settings[s]))
                    b = statistics.median(settings[best])
                    print(f"{ours} {b:9.1f} {spread(settings[best]):5.0%} {a / b:6.2f}  {join(peer, best)}")
        for command, code in self.failed.items():
            print(f"exit code {code}: {command}")


def join(*words):
    return ", ".join(filter(None, words))


def key(line, note):
    return line["workload"], line["shape"] + note, line["format"]


def spread(values):
    """Returns the range of the values over their median."""
    return (max(values) - min(values)) / statistics.median(values)


def matmul(o, c):
    shapes = o.shapes or "1024x1024x1024,2048x2048x2048,1x4096x4096,8x4096x4096,32x4096x4096"
    for form in (o.formats or "f32,bf16,q8").split(","):
        for _ in range(o.rounds):
            c.run("-workload", "matmul", "-format", form, "-shapes", shapes)
            if form == "bf16":
                c.run("-workload", "matmul", "-format", form, "-shapes", shapes, "-precision", "bf16")
            if form == "f32":
                c.peer("openblas.py", "--shapes", shapes)
            if form in ("f32", "bf16"):
                c.peer("torch_matmul.py", "--shapes", shapes, "--format", form, setting="passive", env=PASSIVE)
                c.peer("torch_matmul.py", "--shapes", shapes, "--format", form)


def train(o, c):
    for shape in (o.shapes or "4x256,12x512").split(","):
        for _ in range(o.rounds):
            c.run("-workload", "train", "-format", "f32,bf16", "-shapes", shape)
            c.run("-workload", "train", "-format", "bf16", "-shapes", shape, "-precision", "bf16")
            for cast in [], ["--autocast", "bf16"]:
                c.peer("torch_train.py", "--shapes", shape, *cast, setting="passive", env=PASSIVE)
                c.peer("torch_train.py", "--shapes", shape, *cast)


def llama(o, c):
    for shape in (o.shapes or ",".join(MODELS)).split(","):
        layers = 6 if o.layers == 0 and shape == "deepseek-v2-lite" else o.layers  # all 27 need too much memory
        for form in (o.formats or "q8,q4,bf16").split(","):
            path = os.path.join(o.models, MODELS[shape] + (f"-{layers}" if layers else "") + f"-{form}.gguf")
            if not os.path.exists(path):
                raise SystemExit(f"{path} is missing: gguf.py writes it")
            for prompt in o.prompts.split(","):
                note = f", prompt {prompt}"
                ours = ["-workload", "decode,prefill", "-shapes", shape, "-format", form, "-layers", str(layers)]
                ours += ["-context", prompt]
                theirs = ["llama.py", path, "--shape", shape, "--format", form, "--prompt", prompt]
                for _ in range(o.rounds):
                    c.run(*ours, note=note)
                    if form == "bf16":
                        c.run(*ours, "-precision", "bf16", note=note)
                    c.peer(*theirs, note=note)
                    c.peer(*theirs, "--plain-buffers", setting="plain buffers", note=note)


def main():
    works = {"matmul": matmul, "train": train, "llama": llama}
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("what", choices=works)
    p.add_argument("--shapes", default="", help="separated by commas (default: all)")
    p.add_argument("--formats", default="", help="formats of matmul and llama, separated by commas (default: all)")
    p.add_argument("--models", default="models", help="folder of the files that gguf.py wrote")
    p.add_argument("--layers", type=int, default=0, help="layers of llama's models (default: all; deepseek-v2-lite: 6)")
    p.add_argument("--prompts", default="128", help="lengths of llama's prompts in tokens, separated by commas")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2, help="seconds that each measurement takes at least")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--prefix", default="", help="command that starts each run, such as 'taskset -c 0,1'")
    o = p.parse_args()
    for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":  # so that OpenBLAS chooses its kernels itself
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "bench")
        subprocess.run(["go", "build", "-o", binary, "./examples/bench"], check=True)
        print("load average before:", *os.getloadavg(), "(measure on an idle machine)", flush=True)
        c = Comparison(o, binary)
        works[o.what](o, c)
        c.show()


if __name__ == "__main__":
    main()
