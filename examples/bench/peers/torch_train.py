#!/usr/bin/env python3
"""Times training steps of a small GPT in PyTorch: forward, backward, AdamW, in
f32 or with autocast to BF16. Prints one JSON object for each shape and way to
compute attention."""
import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

VOCAB, HEAD = 512, 64


class Block(nn.Module):
    def __init__(self, width, fused):
        super().__init__()
        self.heads, self.fused = width // HEAD, fused
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def attention(self, x, mask):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, HEAD).permute(2, 0, 3, 1, 4)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = (q @ k.transpose(-1, -2) * HEAD**-0.5 + mask).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, d))

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, layers, width, length, fused):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, fused) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCAB, bias=False)
        self.register_buffer("mask", torch.full((length, length), float("-inf")).triu(1))

    def forward(self, ids):
        x = self.embed(ids) + self.position
        for block in self.blocks:
            x = block(x, self.mask)
        return self.head(self.norm(x))


def measure(layers, width, batch, length, fused, autocast, seconds):
    """Returns the median seconds of a step."""
    torch.manual_seed(0)
    model = GPT(layers, width, length, fused)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)  # faster than foreach
    ids = torch.randint(VOCAB, (batch, length + 1))
    times, began = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(model(ids[:, :-1]).float().reshape(-1, VOCAB), ids[:, 1:].reshape(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--shapes", default="4x256,12x512", help="layers×width")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--context", type=int, default=128)
    p.add_argument("--autocast", choices=["bf16"], help="dtype of the products (default: f32, no autocast)")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=2)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    for shape in o.shapes.split(","):
        layers, width = map(int, shape.split("x"))
        for fused in (False, True):
            t = measure(layers, width, o.batch, o.context, fused, o.autocast == "bf16", o.seconds)
            print(json.dumps({
                "workload": "train", "shape": shape, "format": o.autocast or "f32", "threads": o.threads,
                "part": "fused attention" if fused else "spelled-out attention",
                "value": o.batch * o.context / t, "unit": "tok/s", "peer": "PyTorch " + torch.__version__,
            }), flush=True)


if __name__ == "__main__":
    main()
