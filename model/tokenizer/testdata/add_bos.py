"""Checks that transformers ignores add_bos_token and add_eos_token of tokenizer_config.json if there is a tokenizer.json.

    pip install transformers && python add_bos.py

For every value of both, several values of tokenizer_class and each post_processor, the ids have the tokens that the
post_processor of tokenizer.json adds to a text, and no others. tokenizer.Load does the same.
"""

import itertools
import json
import os
import pathlib
import sys
import tempfile

import transformers

transformers.logging.set_verbosity_error()
SOURCE = json.loads((pathlib.Path(__file__).parent / "cut_llama3_1.json").read_text())
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
CLASSES = ["PreTrainedTokenizerFast", "LlamaTokenizerFast", "LlamaTokenizer", "Qwen2Tokenizer", "TokenizersBackend"]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
PROCESSORS = {"bos": SOURCE["post_processor"], "none": None, "byte level": BYTE_LEVEL}

cases = wrong = 0
for kind, (name, processor), bos, eos in itertools.product(CLASSES, PROCESSORS.items(), (None, True, False),
                                                           (None, True, False)):
    config = {"tokenizer_class": kind, "bos_token": BOS, "eos_token": EOS, "add_bos_token": bos, "add_eos_token": eos}
    with tempfile.TemporaryDirectory() as folder:
        for file, value in (("tokenizer.json", SOURCE | {"post_processor": processor}),
                            ("tokenizer_config.json", {k: v for k, v in config.items() if v is not None})):
            with open(os.path.join(folder, file), "w") as f:
                json.dump(value, f)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("a").input_ids
    cases += 1
    if (ids[0] == tokenizer.bos_token_id) != (name == "bos") or ids[-1] == tokenizer.eos_token_id:
        wrong += 1
        print("post_processor", name, config, ids)
print(f"transformers {transformers.__version__}: {wrong} of {cases} cases differ")
sys.exit(wrong > 0)
