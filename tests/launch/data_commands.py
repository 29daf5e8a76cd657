#!/usr/bin/env python3
"""The data commands with the real program: import, inspect, verify, tokenize on 1, 2 and 3 ranks, signals, damage.

usage: data_commands.py BITLAW MPIEXEC
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from program import TINY_TOKENIZER, Program, write_idx  # noqa: E402

program = Program(*sys.argv[1:3])
run = program.run
SAMPLES = 50
TOKENIZER = TINY_TOKENIZER + "data: {train: images, validation: images}\n"


def expect(done, code, *texts):
    everything = done.stdout + done.stderr
    missing = [text for text in texts if text not in everything]
    if done.returncode != code or missing:
        sys.exit(f"FAILED: {' '.join(map(str, done.args))}\n  code {done.returncode}, not {code}; lacks {missing}\n"
                 f"{done.stdout}\n{done.stderr}")
    print(f"ok: {' '.join(map(str, done.args[1:]))}")
    return done.stdout


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def importing():
    write_idx("raw", "train", SAMPLES, 12)
    command = ["data", "import", "raw", "--size", "16", "--samples-per-shard", "8", "--out", "images"]
    expect(run(*command), 0, "images: 50 images of [1, 16, 16], 4 classes, 7 shards")
    before = contents("images")
    expect(run(*command), 0, "was there already, nothing to do")
    assert contents("images") == before
    expect(run("data", "import", "raw", "--out", "images"), 2, "images holds another data set", "name another folder")
    expect(run("data", "import", "raw", "--out", "images/inside"), 2, "images/inside lies inside the data set")
    assert contents("images") == before
    expect(run("data", "import", "raw", "--split", "test", "--out", "other"), 2, "error:", "t10k-images-idx3-ubyte")
    expect(run("data", "import", "nowhere", "--out", "other"), 2, "error:", "nowhere")
    expect(run("data", "import", "raw", "--format", "folder", "--out", "other"), 2, "error:", "no class folders")
    expect(run("data", "import", "raw", "--channels", "2", "--out", "other"), 2, "error:", "--channels")
    expect(run("data", "import", "images", "--split", "test", "--out", "other"), 2, "error:", "--split test")
    assert not Path("other").exists()


def inspecting():
    shown = json.loads(expect(run("data", "inspect", "images", "--json"), 0))
    assert shown["kind"] == "images" and shown["samples"] == SAMPLES and shown["num_classes"] == 4, shown
    assert shown["shape"] == [1, 16, 16] and shown["shards"] == 7, shown
    assert shown["bytes"] == sum(path.stat().st_size for path in Path("images").glob("*.h5")), shown
    expect(run("data", "inspect", "images"), 0, "content_hash", shown["content_hash"], "idx raw (train)")
    expect(run("data", "inspect", "nowhere"), 2, "error: data set nowhere does not exist")


def verifying():
    expect(run("data", "verify", "images"), 0, "images: 50 images", "all checksums agree")
    shutil.copytree("images", "damaged")
    shards = sorted(Path("damaged").glob("*.h5"))
    os.truncate(shards[1], 1000)
    data = bytearray(shards[4].read_bytes())
    data[len(data) // 2] ^= 1
    shards[4].write_bytes(data)
    shards[6].unlink()
    expect(run("data", "verify", "damaged"), 2, "error: damaged is damaged, 3 of its parts",
           "shard-00001.h5 is truncated (1000 of", "shard-00004.h5 is damaged", "shard-00006.h5 is missing")


def tokenizing():
    Path("tokenizer.yaml").write_text(TOKENIZER)
    expect(run("train", "-c", "tokenizer.yaml"), 0)
    command = ["data", "tokenize", "--tokenizer", "runs/tokenizer", "--in", "images", "--samples-per-shard", "8"]
    expect(run(*command, "--out", "tokens1"), 0, "tokens1: 50 tokens of [21], 4 classes, 7 shards")
    expect(run(*command, "--out", "tokens2", ranks=2), 0, "tokens2: 50 tokens")
    expect(run(*command, "--out", "tokens3", ranks=3), 0, "tokens3: 50 tokens")
    assert contents("tokens1") == contents("tokens2") == contents("tokens3")
    expect(run(*command, "--out", "tokens2", ranks=2), 0, "was there already, nothing to do")
    expect(run("data", "verify", "tokens1"), 0, "all checksums agree")
    shown = json.loads(expect(run("data", "inspect", "tokens1", "--json"), 0))
    tokenizer = json.loads(expect(run("inspect", "runs/tokenizer", "--json"), 0))
    assert shown["tokenizer_hash"] == tokenizer["parameter_hash"], (shown, tokenizer)
    assert shown["vocab_size"] == 32 and shown["patch_nums"] == [1, 2, 4] and shown["shape"] == [21], shown
    expect(run(*command[:4], "--in", "tokens1", "--out", "other", ranks=2), 2, "--in tokens1 holds tokens")
    expect(run("data", "import", "raw", "--out", "small"), 0)
    expect(run(*command[:4], "--in", "small", "--out", "other"), 2,
           "images of [1, 12, 12], the tokenizer reads [1, 16, 16]", "--size 16 --channels 1")
    expect(run(*command, "--out", "images", ranks=2), 2, "images holds another data set")
    expect(run(*command[:4], "--in", "damaged", "--out", "other", ranks=2), 2, "is truncated (1000 of")
    assert not Path("other").exists()


def interrupted(command, started, sign=signal.SIGTERM, ranks=0):
    """The signal goes to the program itself, or to its last rank."""
    process = program.start(*command, ranks=ranks, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not started() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]) if ranks else process.pid, sign)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def stopping():
    """SIGTERM and Ctrl-C while the temporary folder is there: code 75, and nothing is left."""
    source = "/usr/share/datasets/fashion-mnist"
    began = lambda: any(Path(".").glob("fashion.tmp-*"))
    command = ["data", "import", source, "--samples-per-shard", "100", "--threads", "1", "--out", "fashion"]
    for sign in (signal.SIGTERM, signal.SIGINT):
        expect(interrupted(command, began, sign), 75, "was stopped")
        assert not any(Path(".").glob("fashion*")), list(Path(".").glob("fashion*"))


def stopping_ranks():
    """One shard on two ranks: the one that has none is heard long before the other has finished."""
    write_idx("many", "train", 20000, 16)
    expect(run("data", "import", "many", "--out", "many.images"), 0)
    command = ["data", "tokenize", "--tokenizer", "runs/tokenizer", "--in", "many.images", "--samples-per-shard",
               "20000", "--out", "many.tokens"]
    began = lambda: any(Path(".").glob("many.tokens.tmp-*"))
    expect(interrupted(command, began, ranks=2), 75, "tokenising was stopped")
    assert not any(Path(".").glob("many.tokens*")), list(Path(".").glob("many.tokens*"))


def main():
    with tempfile.TemporaryDirectory(prefix="bitlaw-data-commands-") as folder:
        os.chdir(folder)
        for part in (importing, inspecting, verifying, tokenizing, stopping, stopping_ranks):
            part()
        os.chdir("/")


main()
