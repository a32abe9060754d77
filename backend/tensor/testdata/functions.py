"""Writes functions.json: values and gradients of tensor functions, computed by PyTorch in float64.

Run it in this folder: python functions.py
"""

import json

import torch
import torch.nn.functional as F

torch.manual_seed(18)
torch.set_default_dtype(torch.float64)
cases = []


def case(name, fn, x, index=None, **options):
    """Record y = fn(x) and the gradient of sum(y·dy) for fixed dy."""
    x = x.clone().requires_grad_()
    y = fn(x)
    dy = torch.randn_like(y)
    (dx,) = torch.autograd.grad((y * dy).sum(), x)
    c = {"name": name, "shape": list(x.shape), "x": x.flatten().tolist(), "result": list(y.shape)}
    c |= {"y": y.flatten().tolist(), "dy": dy.flatten().tolist(), "dx": dx.flatten().tolist()}
    if index is not None:
        c |= {"index": index.flatten().tolist(), "index_shape": list(index.shape)}
    cases.append(c | options)


# Points at which functions have kinks, saturate or lose digits.
special = torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-5, -1e-5, 3.0, -3.0, 12.0, -12.0, 40.0, -40.0, 90.0, -90.0])
points = torch.cat([special, 2 * torch.randn(18)]).reshape(4, 8)
case("Tanh", torch.tanh, points)
case("ReLU", torch.relu, points)
case("Abs", torch.abs, points)
case("LogSigmoid", F.logsigmoid, points)
case("GELU", F.gelu, points)
case("GELUTanh", lambda x: F.gelu(x, approximate="tanh"), points)
case("Sqrt", torch.sqrt, points.abs() + 1e-3)

rows = 3 * torch.randn(2, 3, 7)
rows[0, 1, 2] = 60.0
rows[1, 2] = -1.5
for name, fn in {
    "Softmax": lambda x: x.softmax(-1),
    "LogSoftmax": lambda x: x.log_softmax(-1),
    "LogSumExp": lambda x: x.logsumexp(-1),
    "MaxLast": lambda x: x.max(-1).values,  # if maxima are equal, .max gives the gradient to one of them
}.items():
    case(name, fn, rows)

logits = 3 * torch.randn(6, 9)
one = torch.tensor([0, 8, 3, 3, 5, 1])
two = torch.tensor([[0, 8], [1, 1], [2, 7], [3, 3], [4, 0], [8, 5]])
case("GatherLast", lambda x: x.gather(1, one[:, None])[:, 0], logits, one)
case("GatherLast", lambda x: x.gather(1, two), logits, two)

targets = torch.tensor([0, 8, -1, 3, -100, 1])
for smoothing in (0.0, 0.1, 1.0):
    for z_loss in (0.0, 1e-2):

        def loss(x):
            t = torch.where(targets < 0, -100, targets)
            ce = F.cross_entropy(x, t, reduction="none", label_smoothing=smoothing)
            return ce + (targets >= 0) * z_loss * x.logsumexp(-1) ** 2

        case("CrossEntropy", loss, logits, targets, smoothing=smoothing, z_loss=z_loss)

# One of the segments is empty; rows 0 and 7 are in no segment.
x, offsets = torch.randn(8, 2, 3), torch.tensor([1, 3, 3, 7])
case("SegmentSum", lambda x: torch.stack([x[a:b].sum(0) for a, b in zip(offsets, offsets[1:])]), x, offsets)
mean = lambda x: torch.stack([x[a:b].sum(0) / max(b - a, 1) for a, b in zip(offsets, offsets[1:])])
case("SegmentMean", mean, x, offsets)

with open("functions.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
