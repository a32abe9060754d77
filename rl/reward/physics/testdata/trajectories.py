"""Writes trajectories.json: 10 motions solved by scipy 1.17.1 (pip install scipy), each also with a fault."""

import json
import math
import os

import numpy as np
from scipy.integrate import solve_ivp

CASES = [  # law, parameters, x0, v0, duration, rows, fault
    ("uniform", [0, -9.81], [0, 2], [10, 12], 2.0, 21, "g = 9.0"),
    ("uniform", [-9.81], [100], [0], 4.0, 17, "one row off"),
    ("uniform", [0, 0, 0], [1, 2, 3], [4, -5, 6], 10.0, 11, "bends"),
    ("oscillator", [2.0, 0.0], [1], [0], 6.0, 31, "decays"),
    ("oscillator", [2.0, 0.3], [1, 0], [0, 3], 6.0, 31, "frequency"),
    ("gravity", [3.986004418e14], [7e6, 0], [0, 7546.05], 5400.0, 55, "spirals in"),
    ("gravity", [1.0], [1, 0], [0, 1.2], 10.0, 41, "velocities"),
    ("drag", [0.05, 0, -9.81], [0, 0], [20, 20], 3.0, 31, "no drag"),
    ("drag", [0.2, -9.81], [50], [0], 3.0, 31, "one row off"),
    ("oscillator", [0.5, 0.0], [0], [2], 12.0, 49, "stops"),
]


def acceleration(law, p, x, v):
    if law == "uniform":
        return np.array(p)
    if law == "oscillator":
        return -p[0] ** 2 * x - p[1] * v
    if law == "gravity":
        return -p[0] * x / np.linalg.norm(x) ** 3
    return np.array(p[1:]) - p[0] * np.linalg.norm(v) * v


def solve(law, p, x0, v0, t):
    n = len(x0)
    f = lambda _, s: np.concatenate([s[n:], acceleration(law, p, s[:n], s[n:])])
    s = solve_ivp(f, (t[0], t[-1]), np.array(x0 + v0, float), t_eval=t, rtol=1e-10, atol=1e-12, method="DOP853").y
    return s[:n].T, s[n:].T


def spoil(fault, law, p, x0, v0, t, x, v):
    x, v = x.copy(), v.copy()
    if fault == "g = 9.0":
        return solve(law, [0, -9.0], x0, v0, t)
    if fault == "one row off":
        x[len(t) // 2] += 0.05 * (x.max() - x.min())
    elif fault == "bends":
        x[len(t) // 2 :, 0] += 0.2 * (t[len(t) // 2 :] - t[len(t) // 2])
    elif fault == "decays":
        return solve(law, [p[0], 0.1], x0, v0, t)
    elif fault == "frequency":
        return solve(law, [p[0] * 1.05, p[1]], x0, v0, t)
    elif fault == "spirals in":
        x *= (1 - 0.05 * t / t[-1])[:, None]
    elif fault == "velocities":
        v[1:] *= 1.1
    elif fault == "no drag":
        return solve(law, [0.0] + p[1:], x0, v0, t)
    elif fault == "stops":
        x[3 * len(t) // 4 :] = x[3 * len(t) // 4]
    else:
        raise ValueError(fault)
    return x, v


def table(t, x, v):
    names = ["x", "y", "z"][: x.shape[1]]
    lines = [",".join(["t"] + names + ["v" + n for n in names])]
    for row in np.column_stack([t, x, v]):
        lines.append(",".join("%.6g" % c for c in row))
    return "\n".join(lines)


cases = []
for law, p, x0, v0, duration, rows, fault in CASES:
    t = np.linspace(0, duration, rows)
    x, v = solve(law, p, x0, v0, t)
    common = {"law": law, "parameters": p, "x": x0, "v": v0, "until": duration}
    cases.append({**common, "fault": "", "table": table(t, x, v)})
    cases.append({**common, "fault": fault, "table": table(t, *spoil(fault, law, p, x0, v0, t, x, v))})

with open(os.path.join(os.path.dirname(__file__), "trajectories.json"), "w") as f:
    f.write("[\n" + ",\n".join(" " + json.dumps(c) for c in cases) + "\n]\n")
