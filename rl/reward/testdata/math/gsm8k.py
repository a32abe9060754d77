"""Writes gsm8k.txt: the final answers of GSM8K's test set (MIT licence), one on each line.

    python gsm8k.py test.jsonl    # of github.com/openai/grade-school-math
"""

import json
import pathlib
import sys

answers = [json.loads(line)["answer"].split("####")[-1].strip() for line in open(sys.argv[1])]
pathlib.Path(__file__).with_name("gsm8k.txt").write_text("".join(a + "\n" for a in answers))
