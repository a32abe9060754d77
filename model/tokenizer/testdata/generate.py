"""Writes the ids that the library tokenizers gives for difficult strings.

generate.py FOLDER, where FOLDER/NAME/tokenizer.json are the full tokenizers of NAME deepseek_v3, qwen3, llama3_1 and
smollm2 (.ci/run fetches them). It writes to its own folder:
  strings.json      the strings
  NAME.ids.json     their ids with the full tokenizer; null if the vocabulary lacks a byte of the string
  cut_NAME.json     a reduced tokenizer with a few hundred of the merges
  cut_NAME.ids.json ids with the reduced tokenizer
  classes.json      the characters of each class, as pairs of first and last
"""

import copy
import json
import os
import random
import sys

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
FAMILIES = ["deepseek_v3", "qwen3", "llama3_1", "smollm2"]
PIECES = [
    # scripts
    "深度求索", "推理模型", "你好，世界！", "龥龦〇", "ひらがな", "カタカナ・テスト", "ー゛゜ヿ゠", "한국어 조사", "ไทยภาษา", "हिन्दी",
    "العربية", "עברית", "Ελληνικά", "Русский", "ՀԱՅ", "ქართული", "ႠႡ", "ᏽᲐᲺ", "ﬁﬂﬆ", "ｆｕｌｌ　ｗｉｄｔｈ", "ℂℍΩΩKÅ", "𐐀𐐨𞤀", "𠮷野家",
    "Ꙁꙁ", "ǅǆ", "ßẞ", "İıſ", "ŉ",
    # emoji
    "😀", "👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️‍🔥", "1️⃣", "🫨🪿",
    # combining marks
    "e\u0301", "é", "n\u0303", "a\u0323\u0307", "a\u0307\u0323", "\u1100\u1161\u11a8", "각", "q\u0307\u0323x", "\u0301", "Z͑ͫa̴l̸g̷o",
    "\u0344", "\u0958", "\u212b", "\ufb1d", "\u1e9b\u0323", "\u0f73", "\u05d9\u1acd\u0323\u20c3", "\U00011935\U00011930", "x" + "\u0301" * 40 + "\u0323" * 5,
    # numbers
    "0", "12", "123", "1234", "12345678901234567890", "3.14159", "1,000,000", "１２３４", "٣٤٥٦", "Ⅷ½²", "1e-9", "0x1F", "v2", "2x",
    # white space
    " ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\r\n", "\r", " \n ", "\n  ", "  \n\n  ", "\u00a0", "\u3000", "\u2028", "\u0085",
    "\u200b", "\u180e", "\x0b\x0c", "          ",
    # punctuation
    "'s", "'S", "'ſ", "'re", "'VE", "'ll'm", "don't", "I'D", "''", "…", "—", "«»", "$5", "€", "+-*/", "<=>", "#!/", "a.b", ".com",
    "...", "!!!\n", "?\r\n\r\n", "(x)", "_x_", "`code`", "\\n", "~|^", "、。「」", "！？", "-->", "&amp;",
    # code
    "func main() {\n\tfmt.Println(\"hi\")\n}", "for i in range(10):\n    pass\n", "if (a&&b||!c) {", "SELECT * FROM t;", "<div id=\"x\">",
    "x := y[i:j]", "// TODO(me): fix", "camelCaseName", "SCREAMING_SNAKE", "https://example.com/a?b=c&d=%20",
    # control characters, unassigned and private ones
    "\x00", "\x01\x02", "\x7f", "\x1b[31m", "\x00a", "\x04\x06", "\ufeff", "\ue000", "\U000e0001", "\u0378", "\ufffd", "\uffff",
    "\U00010d40\U0001cc00\u1c89", "\U00011de0\U00016ff4",
    # words
    "hello", "Hello", " the", "the", "world", "internationalization", "antidisestablishmentarianism", "a", "I", "DeepSeek-R1",
]
LONG = [
    "a" * 300, " " * 300, "\n" * 70, "1" * 100, "好" * 100, "'" * 50, "ab" * 150, " \n" * 60, "🙂" * 40, "é" * 80, "\u0301" * 50,
    "The quick brown fox jumps over the lazy dog. " * 3,
    "DeepSeek-R1-Zero, a model trained via large-scale reinforcement learning (RL) without supervised fine-tuning (SFT).",
    "设 $x^2+y^2=1$，求 $x+y$ 的最大值。解：由柯西不等式，$(x+y)^2\\le 2$，故最大值为 $\\sqrt{2}$。",
    "package main\n\nimport \"fmt\"\n\nfunc add(a, b int) int {\n\treturn a + b\n}\n\nfunc main() {\n\tfmt.Println(add(1, 2)) // 3\n}\n",
    "", "<", "<|", "<think", "<｜", "</think>", "<think>x</think>",
]


def strings(specials):
    """Returns the strings for tokenizers that have these special tokens."""
    r = random.Random(17)
    out = LONG + PIECES
    for n, count in ((2, 60), (4, 60), (9, 30)):
        out += ["".join(r.choice(PIECES) for _ in range(n)) for _ in range(count)]
    for token in specials:
        out += [token, "a" + token + "b", "x  " + token + "  y", token + token + "\n", token[:-1], token[1:]]
    return out


def producers(merges):
    """Maps each token to the first merge that results in it."""
    found = {}
    for rank, (a, b) in enumerate(merges):
        found.setdefault(a + b, rank)
    return found


def cut(full):
    """Returns the tokenizer with few of its merges and added tokens."""
    t = copy.deepcopy(full)
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in full["model"]["merges"]]
    found = producers(merges)
    keep = set()

    def need(token, rank=None):
        rank = found.get(token) if rank is None else rank
        if rank is not None and rank not in keep:
            keep.add(rank)
            need(merges[rank][0])
            need(merges[rank][1])

    for rank, (a, b) in enumerate(merges[:250]):
        need(a + b, rank)
    alphabet = Tokenizer.from_str(json.dumps(full))
    for piece in PIECES:
        for token in alphabet.encode(piece, add_special_tokens=False).tokens[:2]:
            need(token)
    kept = [merges[rank] for rank in sorted(keep)]
    tokens = sorted(full["model"]["vocab"], key=full["model"]["vocab"].get)
    made = {a + b for a, b in kept}
    literal = {a["content"] for a in full["added_tokens"]}
    names = [x for x in tokens if len(x) == 1 or x in made or (x in literal and x in full["model"]["vocab"])]
    t["model"]["vocab"] = {x: i for i, x in enumerate(names)}
    as_text = isinstance(full["model"]["merges"][0], str)
    t["model"]["merges"] = [" ".join(m) if as_text else list(m) for m in kept]
    added = [a for a in full["added_tokens"] if a["content"] in t["model"]["vocab"]][:6]
    added += [a for a in full["added_tokens"] if a["content"] not in t["model"]["vocab"]][-26:]
    first = [a for a in full["added_tokens"] if a["content"] not in t["model"]["vocab"]][:3]
    added += [a for a in first if a not in added]
    next_id = len(names)
    t["added_tokens"] = []
    for a in sorted(added, key=lambda a: a["id"]):
        a = dict(a, id=t["model"]["vocab"].get(a["content"], next_id))
        next_id += a["content"] not in t["model"]["vocab"]
        t["added_tokens"].append(a)
    t["added_tokens"].sort(key=lambda a: a["id"])
    ids = {a["content"]: a["id"] for a in t["added_tokens"]}
    renumber(t.get("post_processor"), ids)
    return t


def renumber(part, ids):
    """Gives the special tokens of a post-processor their new ids."""
    if part and part["type"] == "Sequence":
        for p in part["processors"]:
            renumber(p, ids)
    elif part and part["type"] == "TemplateProcessing":
        for name, token in part["special_tokens"].items():
            token["ids"] = [ids[name]]


def deepseek_v2(full):
    """Returns DeepSeek-V3's tokenizer with the pre-tokenizer of DeepSeek-V2."""
    with open(os.path.join(HERE, "deepseek_v2_split.json"), encoding="utf-8") as f:
        return dict(full, pre_tokenizer=json.load(f))


def flags(full):
    """Returns Qwen3's tokenizer with an added token for each flag."""
    t = copy.deepcopy(full)
    next_id = max(a["id"] for a in t["added_tokens"]) + 1
    for content, on in (("<L>", "lstrip"), ("<R>", "rstrip"), ("word", "single_word"), ("cafe\u0301", "normalized"), ("<L><R>", ""),
                        ("e\u0301", ""), ("日本", "single_word")):
        a = {"id": next_id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": False}
        if on:
            a[on] = True
        t["added_tokens"].append(a)
        next_id += 1
    return t


FLAGGED = ["a  <L>  b", "a  <R>  b", "\t<L><R> \n", "<R>  <L>", "<R> word", "word", "sword", "words", "word-word", " word ", "word1",
           "wordé", "word\u0301", "(word)", "cafe\u0301 café", "cafe\u0301s", "e\u0301é", "日本", "日本語", "a日本", " 日本 ", "word日本", "<R>\u3000\u00a0x",
           "<L", "  <L>  <L>  "]


def write(name, value, indent=None):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, indent=indent, separators=(",", ":"))
        f.write("\n")


def encode(t, texts, covered):
    tokenizer = Tokenizer.from_str(json.dumps(t))
    out = {"first": tokenizer.encode(texts[0]).ids, "ids": []}
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        out["ids"].append(ids if covered(text) else None)
    return out


def ranges(characters):
    """Returns the first and the last character of each run."""
    out = []
    for c in characters:
        if out and out[-1] == c - 1:
            out[-1] = c
        else:
            out += [c, c]
    return out


def classes():
    """Returns the characters of each class of regular expressions, and of Digits."""
    text = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    found = {}
    for name, regex in (("L", r"\p{L}"), ("M", r"\p{M}"), ("N", r"\p{N}"), ("P", r"\p{P}"), ("S", r"\p{S}"), ("space", r"\s")):
        rest = set(normalizers.Replace(Regex(regex), "").normalize_str(text))
        found[name] = ranges(ord(c) for c in text if c not in rest)
    digits = pre_tokenizers.Digits(individual_digits=True)
    found["numeric"] = ranges(ord(c) for c in text if len(digits.pre_tokenize_str("a" + c + "a")) == 3)
    return found


def main(folder):
    full = {}
    specials = []
    for name in FAMILIES:
        with open(os.path.join(folder, name, "tokenizer.json"), encoding="utf-8") as f:
            full[name] = json.load(f)
        contents = [a["content"] for a in full[name]["added_tokens"]]
        specials += contents[:3] + contents[-3:]
    texts = strings(sorted(set(specials))) + FLAGGED
    write("strings.json", texts)
    vocab = full["smollm2"]["model"]["vocab"]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(other)}
    missing = {b for b in range(256) if table[b] not in vocab}
    every = lambda text: True  # noqa: E731
    some = lambda text: not missing & set(text.encode())  # noqa: E731
    for name in FAMILIES:
        write(name + ".ids.json", encode(full[name], texts, some if name == "smollm2" else every))
    cuts = {name: cut(full[name]) for name in FAMILIES}
    cuts["deepseek_v2"] = deepseek_v2(cuts["deepseek_v3"])
    cuts["flags"] = flags(cuts["qwen3"])
    for name, t in cuts.items():
        write("cut_" + name + ".json", t)
        write("cut_" + name + ".ids.json", encode(t, texts, some if name == "smollm2" else every))
    write("classes.json", classes())
    print(len(texts), "strings")


if __name__ == "__main__":
    main(sys.argv[1])
