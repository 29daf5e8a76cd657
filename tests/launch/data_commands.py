#!/usr/bin/env python3
"""The data commands with the real program: import, inspect, verify, tokenize on 1, 2 and 3 ranks, signals, damage.

usage: data_commands.py BITLAW MPIEXEC
"""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BITLAW, MPIEXEC = sys.argv[1:3]
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", NO_COLOR="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                   OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1")
SAMPLES = 50
TOKENIZER = """
run: {name: tokenizer, seed: 1}
task: {kind: tokenizer}
data: {train: images, validation: images}
model:
  family: vq
  vq: {image_channels: 1, base_channels: 8, channel_multipliers: [1, 1, 1], res_blocks: 1, attention: false,
       middle: false, group_norm_groups: 4, latent_channels: 4, codebook_size: 32, patch_nums: [1, 2, 4],
       phi_convolutions: 3}
train: {global_batch_size: 8, micro_batch_size: 8, max_steps: 2, precision: fp32}
eval: {samples: 8, micro_batch_size: 4}
"""


def run(*arguments, ranks=0):
    command = [BITLAW, *arguments]
    if ranks:
        command = [MPIEXEC, "-np", str(ranks), *command]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def expect(done, code, *texts):
    everything = done.stdout + done.stderr
    missing = [text for text in texts if text not in everything]
    if done.returncode != code or missing:
        sys.exit(f"FAILED: {' '.join(map(str, done.args))}\n  code {done.returncode}, not {code}; lacks {missing}\n"
                 f"{done.stdout}\n{done.stderr}")
    print(f"ok: {' '.join(map(str, done.args[1:]))}")
    return done.stdout


def write_idx(folder):
    folder.mkdir()
    pixels = bytes((37 * i * i + 11 * i + i // 7) % 256 for i in range(SAMPLES * 144))
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, SAMPLES, 12, 12) + pixels)
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, SAMPLES) +
                                                     bytes(i % 4 for i in range(SAMPLES)))


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def importing():
    write_idx(Path("raw"))
    command = ["data", "import", "raw", "--size", "16", "--samples-per-shard", "8", "--out", "images"]
    expect(run(*command), 0, "images: 50 images of [1, 16, 16], 4 classes, 7 shards")
    before = contents("images")
    expect(run(*command), 0, "was there already, nothing to do")
    assert contents("images") == before
    expect(run("data", "import", "raw", "--out", "images"), 2, "images holds another data set", "name another folder")
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


def interrupted(command, started):
    process = subprocess.Popen([BITLAW, *command], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    deadline = time.monotonic() + 60
    while not started() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def stopping():
    """SIGTERM while the temporary folder is there: code 75, and nothing is left."""
    source = "/usr/share/datasets/fashion-mnist"
    began = lambda: any(Path(".").glob("fashion.tmp-*"))
    command = ["data", "import", source, "--samples-per-shard", "100", "--threads", "1", "--out", "fashion"]
    expect(interrupted(command, began), 75, "was stopped")
    assert not any(Path(".").glob("fashion*")), list(Path(".").glob("fashion*"))


def main():
    with tempfile.TemporaryDirectory(prefix="bitlaw-data-commands-") as folder:
        os.chdir(folder)
        for part in (importing, inspecting, verifying, tokenizing, stopping):
            part()
        os.chdir("/")


main()
