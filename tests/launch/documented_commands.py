#!/usr/bin/env python3
"""Runs every command of the documentation's sh blocks as it is printed, on a few images and for a few steps.

usage: documented_commands.py BITLAW MPIEXEC REPOSITORY
Two things are changed: the folder of Debian's images is one that holds their first 256, and trainings get the
overrides of SMALL behind what is printed. The quickstart and the check are not run from here.
"""
import gzip
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from program import ENVIRONMENT, Program  # noqa: E402

IMAGES = Path("/usr/share/datasets/fashion-mnist")
ELSEWHERE = {"launch/quickstart.sh", "tests/check.sh"}
SMALL = "train.global_batch_size=8 train.micro_batch_size=4 train.max_steps=3 schedule.warmup_steps=1 eval.samples=8"
COUNT = 256


def blocks(path):
    """Commands of the file's sh blocks, without comments."""
    for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.M | re.S):
        for line in block.splitlines():
            command = line.split("  #")[0].strip()
            if command:
                yield command


def few_images(folder):
    folder.mkdir()
    for split in ("train", "t10k"):
        for kind, magic, sizes, count_bytes in (("images-idx3", 0x803, (28, 28), 784), ("labels-idx1", 0x801, (), 1)):
            name = f"{split}-{kind}-ubyte"
            with gzip.open(IMAGES / f"{name}.gz") as file:
                header = struct.calcsize(">II") + 4 * len(sizes)
                content = file.read(header + COUNT * count_bytes)[header:]
            (folder / name).write_bytes(struct.pack(f">II{len(sizes)}I", magic, COUNT, *sizes) + content)


def execute(command, folder):
    started = time.monotonic()
    text = command.replace(str(IMAGES), "images")
    if "bitlaw train " in text:
        text += " " + SMALL
    path = f"{Path(program.bitlaw).parent}:{Path(program.mpiexec).parent}:{os.environ['PATH']}"
    done = subprocess.run(text, shell=True, cwd=folder, env=dict(ENVIRONMENT, PATH=path), capture_output=True,
                          text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"FAILED: {command}\n  (run as: {text}) gave code {done.returncode}\n{done.stdout}\n{done.stderr}")
    print(f"ok ({time.monotonic() - started:.1f} s): {command}", flush=True)


def run_documented(path, folder):
    commands = [command for command in blocks(path) if command not in ELSEWHERE]
    if not commands:
        sys.exit(f"FAILED: {path} has no commands in an sh block")
    for command in commands:
        execute(command, folder)


def main(repository):
    with tempfile.TemporaryDirectory(prefix="bitlaw-documented-") as name:
        folder = Path(name)
        few_images(folder / "images")
        (folder / "configs").symlink_to(repository / "configs")
        for document in ("docs/by_hand.md", "docs/import.md", "docs/data.md", "README.md", "docs/evaluation.md"):
            run_documented(repository / document, folder)


program = Program(*sys.argv[1:3])
main(Path(sys.argv[3]))
