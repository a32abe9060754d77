#!/usr/bin/env python3
r"""Times PyTorch on the benchmark cases of examples/gpucheck and prints a JSON object
a line, with the same names of ops and cases:

    python3 backend/cuda/testdata/torch_peer.py > torch.jsonl
    go run ./examples/gpucheck -json > aha.jsonl
    jq -r -s 'map(select(.case and .seconds)) | group_by(.case)[] | select(length == 2)
        | "\(.[0].case): \(map("\(.peer // "aha") \(.seconds * 1e6) µs") | join(", "))"' aha.jsonl torch.jsonl

F32 products are in full F32, without TF32. Beside BF16 activations parameters are in
BF16 too, where ours are in F32, and there is no entropy in LogSumExp and LinearLogProb.
A time is the median of rounds of at least --round seconds that end with synchronize,
divided by the calls of a round, as in gpucheck. It needs PyTorch 2.5 or later.
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

ROUNDS = 5


def normal(dt, *shape):
    return torch.randn(*shape, device=o.device).to(dt)


def elementwise(fn, operands=1):
    def make(dt):
        x = [normal(dt, 512, 1024).abs_().add_(0.1) for _ in range(operands)]
        return lambda: fn(*x)
    return make


def matmul(rows):
    def make(dt):
        a, b = normal(dt, rows, 1024), normal(dt, 1024, 1024)
        return lambda: a @ b
    return make


def rms_norm(dt):
    x, w = normal(dt, 512, 1024), normal(dt, 1024)
    return lambda: F.rms_norm(x, (1024,), w, 1e-6)


def backward(forward, inputs, dy):
    """The backward of forward alone."""
    y = forward(*inputs)
    return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def rms_norm_grad(dt):
    x, w = normal(dt, 512, 1024).requires_grad_(), normal(dt, 1024).requires_grad_()
    return backward(lambda x, w: F.rms_norm(x, (1024,), w, 1e-6), (x, w), normal(dt, 512, 1024))


def swiglu(dt):
    gate, up = normal(dt, 512, 1024), normal(dt, 512, 1024)
    return lambda: F.silu(gate) * up


def swiglu_grad(dt):
    gate, up = normal(dt, 512, 1024).requires_grad_(), normal(dt, 512, 1024).requires_grad_()
    return backward(lambda gate, up: F.silu(gate) * up, (gate, up), normal(dt, 512, 1024))


def qkv(dt):
    return normal(dt, 1, 8, 512, 96), normal(dt, 1, 8, 512, 96), normal(dt, 1, 8, 512, 64)


def causal(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.1)


def attention(dt):
    q, k, v = qkv(dt)
    return lambda: causal(q, k, v)


def attention_grad(dt):
    return backward(causal, tuple(x.requires_grad_() for x in qkv(dt)), normal(dt, 1, 8, 512, 64))


def decode(dt):
    q, k, v = normal(dt, 1, 16, 1, 288), normal(dt, 1, 1, 2048, 288), normal(dt, 1, 1, 2048, 256)
    k, v = k.expand(1, 16, 2048, 288), v.expand(1, 16, 2048, 256)
    return lambda: F.scaled_dot_product_attention(q, k, v, scale=0.06)


def log_sum_exp(dt):
    x = normal(dt, 64, 32768)
    return lambda: torch.logsumexp(x, -1)


def linear_log_prob(dt):
    x, w = normal(dt, 128, 512), normal(dt, 16384, 512)
    target = torch.randint(16384, (128,), device=o.device)
    return lambda: F.cross_entropy(F.linear(x, w), target, reduction="none")


def top_k(dt):
    x = normal(dt, 512, 256)
    return lambda: torch.topk(x, 8)


def gather(dt):
    x, index = normal(dt, 4096, 1024), torch.randint(4096, (512,), device=o.device)
    return lambda: x.index_select(0, index)


def scatter_add(dt):
    y, x, index = normal(dt, 4096, 1024), normal(dt, 512, 1024), torch.randint(4096, (512,), device=o.device)
    return lambda: y.index_add_(0, index, x)


def adamw(dt):
    p = torch.nn.Parameter(normal(dt, 1024, 1024))
    p.grad = normal(dt, 1024, 1024)
    return torch.optim.AdamW([p], lr=1e-3, weight_decay=0.1, fused=True).step


def copy_to(to):
    def make(dt):
        src, dst = normal(dt, 1024, 1024), torch.empty(1024, 1024, dtype=to, device=o.device)
        return lambda: dst.copy_(src)
    return make


def fill(dt):
    y = torch.empty(1024, 1024, dtype=dt, device=o.device)
    return lambda: y.fill_(1)


def random(dt):
    y = torch.empty(1 << 20, dtype=dt, device=o.device)
    return lambda: y.normal_()


# What is timed for each case. DTYPE stands for F32 and BF16.
CASES = {
    "Copy/F32/dense/{Dst:F32,Src:F32,Shape:[1024,1024]}": copy_to(torch.float32),
    "Copy/F32/dense/{Dst:BF16,Src:F32,Shape:[1024,1024]}": copy_to(torch.bfloat16),
    "Fill/F32/dense/{DType:F32,Value:1,Shape:[1024,1024]}": fill,
    "Random/F32/dense/{N:1048576,Distribution:normal,Stream:0}": random,
    "Exp/DTYPE/dense/{Fn:Exp,Shape:[512,1024],InPlace:false}": elementwise(torch.exp),
    "Log/DTYPE/dense/{Fn:Log,Shape:[512,1024],InPlace:false}": elementwise(torch.log),
    "Sigmoid/DTYPE/dense/{Fn:Sigmoid,Shape:[512,1024],InPlace:false}": elementwise(torch.sigmoid),
    "Sqrt/DTYPE/dense/{Fn:Sqrt,Shape:[512,1024],InPlace:false}": elementwise(torch.sqrt),
    "Add/DTYPE/dense/{Fn:Add,Shape:[512,1024],InPlace:false,Ints:false,IntY:false}": elementwise(torch.add, 2),
    "Mul/DTYPE/dense/{Fn:Mul,Shape:[512,1024],InPlace:false,Ints:false,IntY:false}": elementwise(torch.mul, 2),
    "Sum/DTYPE/dense/{Fn:Sum,Shape:[512,1024],NaN:false}": elementwise(lambda x: x.sum(-1)),
    "ReduceMax/DTYPE/dense/{Fn:ReduceMax,Shape:[512,1024],NaN:false}": elementwise(lambda x: x.amax(-1)),
    "Softmax/DTYPE/dense/{Shape:[512,1024],Scale:3}": elementwise(lambda x: x.softmax(-1)),
    "TopK/DTYPE/dense/{N:512,E:256,K:8,Ties:false,NaN:false,NoValue:false}": top_k,
    "Gather/F32/dense/{tableSpec:{N:512,R:4096,D:1024},DType:F32,To:F32}": gather,
    "ScatterAdd/F32/dense/{tableSpec:{N:512,R:4096,D:1024},Add:true}": scatter_add,
    "MatMul/F32/dense/{Batch:[],M:512,K:1024,N:1024,Accumulate:false,Packed:false}": matmul(512),
    "MatMul/BF16/dense/{Format:bf16,matMulSpec:{Batch:[],M:512,K:1024,N:1024,Accumulate:false,Packed:true}}":
        matmul(512),
    "MatMul/BF16/dense/{Format:bf16,matMulSpec:{Batch:[],M:1,K:1024,N:1024,Accumulate:false,Packed:true}}": matmul(1),
    "RMSNorm/DTYPE/dense/{N:512,D:1024,Scale:1}": rms_norm,
    "RMSNormGrad/DTYPE/dense/{N:512,D:1024,NoDW:false}": rms_norm_grad,
    "SwiGLU/DTYPE/dense/{N:512,F:1024,Large:false}": swiglu,
    "SwiGLUGrad/DTYPE/dense/{swiGLUSpec:{N:512,F:1024,Large:false}}": swiglu_grad,
    "Attention/DTYPE/dense/{Seqs:[512],Prefix:0,Dead:0,H:8,G:8,Dk:96,Dv:64,"
    "Blank:false,Spoiled:false,Scale:0.1,Paged:false}": attention,
    "AttentionGrad/DTYPE/dense/{attentionSpec:{Seqs:[512],Prefix:0,Dead:0,H:8,G:8,Dk:96,Dv:64,"
    "Blank:false,Spoiled:false,Scale:0.1,Paged:false}}": attention_grad,
    "Attention/DTYPE/dense/{Seqs:[1],Prefix:2047,Dead:0,H:16,G:1,Dk:288,Dv:256,"
    "Blank:false,Spoiled:false,Scale:0.06,Paged:false}": decode,
    "LogSumExp/DTYPE/dense/{N:64,V:32768,Entropy:true,InvTemp:1,Scale:3}": log_sum_exp,
    "LinearLogProb/DTYPE/dense/{N:128,D:512,V:16384,Entropy:true,InvTemp:1,Format:native,Packed:false}":
        linear_log_prob,
    "AdamW/F32/dense/{Shape:[1024,1024],Step:10,BF16:false}": adamw,
}
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


def synchronize():
    if o.device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(call):
    """Median seconds of a call."""
    call()
    synchronize()
    n, times = 1, []
    while len(times) < ROUNDS:
        began = time.perf_counter()
        for _ in range(n):
            call()
        synchronize()
        took = time.perf_counter() - began
        if took < o.round:
            n, times = n * int(min(max(2, o.round / max(took, 1e-9)), 1000)), []
        else:
            times.append(took / n)
    return statistics.median(times)


def main():
    for pattern, make in CASES.items():
        for name, dt in DTYPES.items():
            case, at = pattern.replace("/DTYPE/", f"/{name}/"), pattern.split("/")[1]
            op = pattern.split("/")[0]
            if at not in ("DTYPE", name) or o.op and op not in o.op.split(","):
                continue
            line = {"line": "time", "peer": f"torch {torch.__version__}", "device": o.device, "op": op, "dtype": name,
                    "case": case}
            try:
                line["seconds"] = seconds(make(dt))
            except RuntimeError as err:
                line["error"] = str(err).splitlines()[0]
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--device", default="cuda:0", help="cuda:0 or cpu")
    p.add_argument("--op", default="", help="ops, separated by commas (default all)")
    p.add_argument("--round", type=float, default=0.02, help="seconds of a round")
    o = p.parse_args()
    if o.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("torch_peer.py: PyTorch finds no CUDA device; --device cpu tries the script")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(1)
    main()
