"""Makes texts without repeats for BenchmarkEncode: corpus.py OUT MIB FOLDER...

It writes OUT/english.txt, OUT/chinese.txt and OUT/go.txt, together at most MIB MiB, a third each if there is enough
text. It reads all files of the folders: the lines of .go files, the lines of other texts, gzipped manual pages and the
translations in .mo files, and writes each line once. A line is Chinese if at least a fifth of its characters are.
"""

import gettext
import gzip
import hashlib
import os
import re
import sys

CHINESE = re.compile("[\u4e00-\u9fa5]")


def lines(path):
    """Yields the lines of a file that is text, in UTF-8."""
    try:
        if path.endswith(".mo"):
            with open(path, "rb") as f:
                for text in gettext.GNUTranslations(f)._catalog.values():
                    yield from text.splitlines()
            return
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
            if b"\0" in f.read(4096):
                return
            f.seek(0)
            for line in f:
                yield line.decode().rstrip("\n")
    except (OSError, EOFError, ValueError, IndexError, gzip.zlib.error):
        return


def kind(path, line):
    if path.endswith(".go"):
        return "go"
    if len(CHINESE.findall(line)) * 5 > len(line):
        return "chinese"
    return "english" if line.isascii() and " " in line and not path.endswith(".mo") else None


def main(out, mib, folders):
    os.makedirs(out, exist_ok=True)
    left = dict.fromkeys(["english", "chinese", "go"], mib * (1 << 20) // 3)
    files = {name: open(os.path.join(out, name + ".txt"), "w", encoding="utf-8", newline="") for name in left}
    seen = set()
    for folder in folders:
        for place, inner, names in os.walk(folder):
            inner.sort()
            for path in (os.path.join(place, name) for name in sorted(names)):
                if not os.path.isfile(path) or os.path.islink(path):
                    continue
                for line in lines(path):
                    name = kind(path, line)
                    if name is None or left[name] <= 0:
                        continue
                    if line.strip():
                        digest = hashlib.blake2b(line.strip().encode(), digest_size=8).digest()
                        if digest in seen:
                            continue
                        seen.add(digest)
                    elif name != "go":
                        continue
                    left[name] -= len(line.encode()) + 1
                    files[name].write(line + "\n")
    for name, f in files.items():
        f.close()
        print(name, os.path.getsize(f.name))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
