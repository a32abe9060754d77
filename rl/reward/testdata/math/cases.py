"""Writes cases.jsonl and near.jsonl: the verdicts of Math-Verify on the answers in cases.txt and near.txt.

Each line of these files has a gold answer, a completion and the right verdict (y correct, n wrong, u unparseable). If
Math-Verify has another verdict, the line also has the reason why that is wrong. The script passes gold answers to
Math-Verify between dollar signs, since it reads LaTeX only there.

    pip install math-verify==0.9.0 latex2sympy2_extended==1.11.0 antlr4-python3-runtime==4.13.2
    python cases.py
"""

import json
import logging
import pathlib

from math_verify import parse, verify

logging.disable(logging.CRITICAL)
here = pathlib.Path(__file__).parent
verdicts = {"y": "correct", "n": "wrong", "u": "unparseable"}

for name in "cases", "near":
    kind, lines, agree = "near misses and what is none", [], 0
    for line in (here / f"{name}.txt").read_text().splitlines():
        if line.startswith("# "):
            kind = line[2:]
            continue
        gold, completion, verdict, *why = line.split(" | ")
        wrapped = gold if "$" in gold or "\\boxed" in gold else f"${gold}$"
        theirs = verify(parse(wrapped), parse(completion))
        if theirs != (verdict == "y") and not why:
            raise SystemExit(f"no reason why Math-Verify is wrong: {line}")
        if theirs == (verdict == "y") and why:
            raise SystemExit(f"Math-Verify agrees: {line}")
        agree += theirs == (verdict == "y")
        case = {"kind": kind, "gold": gold, "completion": completion, "verdict": verdicts[verdict]}
        case["math_verify"] = "correct" if theirs else "wrong"
        if why:
            case["why_not"] = why[0]
        lines.append(json.dumps(case, ensure_ascii=False) + "\n")
    (here / f"{name}.jsonl").write_text("".join(lines))
    print(f"{name}: {len(lines)} cases, Math-Verify agrees with {agree}")
