#!/usr/bin/env python3
"""clang-tidy over the files that need no LibTorch (the others take a minute each); .clang-tidy says what is looked for.

usage: clang_tidy.py BUILD_DIR

BUILD_DIR is of preset asan-torch-free: its compile_commands.json lists just those files, most of them joined by fives.
The joined ones are written one behind the other into one file, since clang's analyser looks at no file that another
includes; what is found is reported at its place in the sources.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("data", "quant", "distill", "trainer", "launch")


def is_ours(file, build):
    return any(file.is_relative_to(root / folder) for root in (REPOSITORY, build) for folder in FOLDERS)


def flags(command):
    """Without compiler, output and input; warnings are the compiler's business."""
    words = shlex.split(command)[1:]
    at = words.index("-o")
    return words[:at] + ["-Wno-everything"]


def joined(file):
    """The path to look at, and for each of its lines the source and its line."""
    sources = [Path(name) for name in re.findall(r'^#include "(.+\.cpp)"$', file.read_text(), re.MULTILINE)]
    if file.suffix != ".cxx" or not sources:
        return file, None
    text, places = "", []
    for source in sources:
        lines = source.read_text().splitlines()
        text += "\n".join(lines) + "\n"
        places += [(source, number + 1) for number in range(len(lines))]
    target = file.with_suffix(".tidy.cpp")
    target.write_text(text)
    return target, places


def look_at(entry):
    file, places = joined(Path(entry["file"]))
    done = subprocess.run([TIDY, f"--config-file={REPOSITORY / '.clang-tidy'}", "--quiet", str(file), "--",
                           *flags(entry["command"])], cwd=entry["directory"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    report = done.stdout
    if places:
        def place(match):
            source, line = places[int(match.group(1)) - 1]
            return f"{source}:{line}:"
        report = re.sub(re.escape(str(file)) + r":(\d+):", place, report)
    if done.returncode != 0 and not report:
        report = done.stderr
    return done.returncode, report, len({source for source, _ in places}) if places else 1


def main():
    build = Path(sys.argv[1]).resolve()
    entries = [entry for entry in json.loads((build / "compile_commands.json").read_text())
               if is_ours(Path(entry["file"]), build)]
    if not entries:
        raise SystemExit(f"error: {build} lists no files of ours")
    count, bad = 0, False
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for code, report, files in pool.map(look_at, entries):
            print(report, end="", flush=True)
            count, bad = count + files, bad or code != 0
    if bad:
        raise SystemExit(1)
    print(f"clang-tidy: {count} files are clean")


TIDY = shutil.which("clang-tidy-14")
if not TIDY:
    raise SystemExit("error: clang-tidy-14 is missing [it is part of the check]; run launch/setup.sh")
main()
