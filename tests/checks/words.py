#!/usr/bin/python3
"""Looks in every file of the repository for what belongs to one machine: its paths, its hosts, leftover notes.

  words.py SOURCE_DIR        exit code 1 and one line for each find
  words.py --self-test       proves that each pattern finds something
"""
import pathlib
import re
import sys
import tempfile

from tracked_files import tracked_files

# Written so that this file does not match itself. Pattern, and a text that it must find.
FORBIDDEN = [
    (r"(?<![\w.])/(?:work|root|home)/\w", "see /wor" + "k/a"),
    (r"\.py[e]nv", "~/.py" + "env/bin"),
    (r"\b(?:pypi|files\.pythonhosted|deb\.debian|registry\.npmjs|crates|proxy\.golang)\.(?:org|io)\b", "pypi" + ".org"),
    (r"\bTO[D]O\b|\bFIX[M]E\b|\bXX[X]\b", "// TO" + "DO later"),
    (r"\bDISABLED_[A-Z]|\bGTEST_SK[I]P\b", "TEST(A, DISABLED_" + "B)"),
    (r"^<{7} |^>{7} |^={7}$", "<" * 7 + " HEAD"),
]
FORBIDDEN = [(re.compile(pattern, re.MULTILINE), example) for pattern, example in FORBIDDEN]


def finds(root):
    for path in tracked_files(root):
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # pictures, golden tensors
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, _ in FORBIDDEN:
                if match := pattern.search(line):
                    yield f"{path}:{number}: '{match.group()}' belongs in no file of the repository"


def self_test():
    for pattern, example in FORBIDDEN:
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "clean.md").write_text("Paths like build/work/x and words like methodology are fine.\n")
            (pathlib.Path(folder) / "dirty.md").write_text(f"first line\n{example}\n")
            found = list(finds(folder))
        if len(found) != 1 or "dirty.md:2:" not in found[0]:
            sys.exit(f"self-test: '{example}' gave {found}")
    print(f"self-test: {len(FORBIDDEN)} patterns find what they are for")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        lines = list(finds(sys.argv[1]))
        print("\n".join(lines) or "nothing of one machine in the repository")
        sys.exit(1 if lines else 0)
