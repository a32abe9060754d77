#!/usr/bin/env python3
"""Compares the folder that convert makes from a GGUF file with what transformers loads from that file.

    pip install torch transformers gguf
    python model/testdata/gguf_folder.py SmolLM2-135M-Instruct.Q4_1.gguf    # in the repository's root, go on the path

For F32 and for BF16, the script checks that
  - the folder loads without missing or unexpected tensors, in the dtype that its config gives,
  - its logits for 24 ids are those of the file's weights, dequantised by package gguf and, for BF16, rounded to BF16,
  - the ids of the strings in model/tokenizer/testdata/strings.json are those that the library tokenizers gave,
  - its chat template is that of the file.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
TEXTS = pathlib.Path(__file__).parent.parent / "tokenizer" / "testdata"
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Why?"}]


def logits(model, ids):
    with torch.no_grad():
        return model(ids[None]).logits[0].float()


def check(source, dtype, want, theirs, ids):
    faults = []
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / "model"
        subprocess.run(["go", "run", "./examples/convert", "-in", source, "-out", str(folder), "-dtype", dtype],
                       check=True, capture_output=True)
        model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
        if any(info.values()):
            faults.append(f"loading info {info}")
        if model.dtype != (want_dtype := {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]):
            faults.append(f"transformers reads {model.dtype}, want {want_dtype}")
        off = ((logits(model.eval().float(), ids) - want).abs().max() / want.abs().max()).item()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        texts = json.loads((TEXTS / "strings.json").read_text())
        listed = json.loads((TEXTS / "smollm2.ids.json").read_text())["ids"]
        pairs = [(t, w) for t, w in zip(texts, listed) if w is not None]
        wrong = [t for t, w in pairs if tokenizer(t, add_special_tokens=False).input_ids != w]
        back = [t for t, w in pairs if tokenizer.decode(w) != t]
        both = (tokenizer, theirs)
        rendered = [t.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True) for t in both]
        roles = [(t.bos_token_id, t.eos_token_id, t.pad_token_id) for t in both]
    print(f"{dtype:5} logits differ by {off:.1e} of the largest, {want.abs().max():.2f}; {len(wrong)} of {len(pairs)} "
          f"strings with other ids, {len(back)} decoded otherwise; bos, eos, pad {roles[0]}", flush=True)
    if off > 1e-5:
        faults.append("logits differ")
    if wrong or back:
        faults.append(f"strings {wrong[:3]} {back[:3]}")
    if rendered[0] != rendered[1] or roles[0] != roles[1]:
        faults.append(f"chats {rendered}, special tokens {roles}")
    return faults


def main(source):
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    directory, file = os.path.split(os.path.abspath(source))
    theirs = transformers.AutoTokenizer.from_pretrained(directory, gguf_file=file)
    failed = False
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, gguf_file=file, dtype=torch.float32).eval()
    ids = torch.tensor([(7 * i * i + 3 * i + 1) % model.config.vocab_size for i in range(24)])
    for dtype in ("f32", "bf16"):
        if dtype == "bf16":
            for p in model.parameters():
                p.data = p.data.to(torch.bfloat16).float()
        for fault in check(source, dtype, logits(model, ids), theirs, ids):
            failed = True
            print(f"{dtype}: {fault}", file=sys.stderr)
    sys.exit(failed)


main(sys.argv[1])
