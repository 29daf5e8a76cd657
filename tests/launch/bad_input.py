#!/usr/bin/env python3
"""Bad input, one case at a time, with the real program: each ends with code 2, one clear message and nothing lost.

usage: bad_input.py BITLAW MPIEXEC
A message has the grammar: error: what is wrong, with its value [why it matters]; what to do.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from program import TINY_TOKENIZER, Program, write_idx  # noqa: E402

program = Program(*sys.argv[1:3])
failures = []

TOKENIZER = TINY_TOKENIZER + "data: {train: images/train, validation: images/test}\n"
TEACHER = """
run: {name: teacher, seed: 1}
task: {kind: pretrain}
data: {train: tokens/train, validation: tokens/test}
tokenizer: {from: runs/tokenizer}
model: {family: var, depth: 1, width: 32, num_heads: 2}
train: {global_batch_size: 8, micro_batch_size: 4, max_steps: 2, ema_decay: 0.9, precision: fp32}
checkpoint: {interval: 1}
eval: {samples: 8, micro_batch_size: 4}
"""
STUDENT = TEACHER.replace("name: teacher", "name: student").replace("kind: pretrain", "kind: distill").replace(
    "num_heads: 2}", "num_heads: 2, init: teacher}") + """
quant: {method: lsq, weights: {num_bits: 3, strategy: group, group_size: 16}, ignore: [head]}
distill: {teacher: runs/teacher, loss: topkld, top_k: 8}
"""


def must_work(*arguments, code=0, **options):
    done = program.run(*arguments, **options)
    if done.returncode != code:
        sys.exit(f"preparation failed: {arguments} gave {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def refuse(name, arguments, *expected, code=2, **options):
    done = program.run(*arguments, **options)
    returned, err = done.returncode, done.stderr
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    problems = []
    if returned != code:
        problems.append(f"code {returned}, not {code}")
    if len(lines) < 1:
        problems.append("no line starts with 'error:'")
    message = err[err.find("error:"):] if lines else err
    problems += [f"message lacks {text!r}" for text in expected if text not in message]
    if lines and ("[" not in message or "]" not in message or ";" not in message):
        problems.append("message has no [reason]; remedy")
    print(f"{'FAILED' if problems else 'ok':7} {name}: {message.strip()[:400]}")
    if problems:
        failures.append(name)
        print("        " + "; ".join(problems))


def prepare():
    write_idx("raw", "train", 64, 16)
    write_idx("raw", "t10k", 16, 16)
    for name, text in (("tokenizer", TOKENIZER), ("teacher", TEACHER), ("student", STUDENT)):
        Path(f"{name}.yaml").write_text(text)
    for split in ("train", "test"):
        must_work("data", "import", "raw", "--split", split, "--out", f"images/{split}")
    must_work("train", "-c", "tokenizer.yaml")
    must_work("train", "-c", "tokenizer.yaml", "run.name=tokenizer2", "run.seed=2")
    for split in ("train", "test"):
        must_work("data", "tokenize", "--tokenizer", "runs/tokenizer", "--in", f"images/{split}", "--out",
                  f"tokens/{split}")
    must_work("train", "-c", "teacher.yaml")
    must_work("train", "-c", "student.yaml")


def hash_of(path):
    return json.loads(must_work("inspect", path, "--json"))["state_hash"]


def first_shard(folder):
    return sorted(Path(folder).glob("*.h5"))[0]


def damaged_copy(name, damage):
    shutil.copytree("tokens/train", f"tokens/{name}")
    damage(first_shard(f"tokens/{name}"))
    return f"data.train=tokens/{name}"


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def configuration():
    fresh = ["run.name=fresh"]
    refuse("several mistakes at once", ["train", "-c", "teacher.yaml", *fresh, "optim.lrr=1", "train.max_steps=many",
                                        "model.depth=0", "task.kind=pretrian"],
           "lrr", "optim.lr", "max_steps", "depth", "pretrain")
    refuse("indivisible batch", ["train", "-c", "teacher.yaml", *fresh, "train.micro_batch_size=3"], "8", "3")
    refuse("world size that does not fit", ["train", "-c", "teacher.yaml", *fresh], "global_batch_size", "3", ranks=3)
    refuse("head reverse, tail forward, naive",
           ["train", "-c", "student.yaml", *fresh, "distill.head=reverse", "distill.tail=forward",
            "distill.norm=naive"], "naive")
    refuse("top_k above V", ["train", "-c", "student.yaml", *fresh, "distill.top_k=33"], "top_k", "33", "32")
    refuse("group size that does not divide",
           ["train", "-c", "student.yaml", *fresh, "quant.weights.group_size=24"], "24", "32")
    refuse("pattern that matches nothing", ["train", "-c", "student.yaml", *fresh, "quant.ignore=[haed]"], "haed")
    refuse("missing configuration", ["train", "-c", "nowhere.yaml"], "nowhere.yaml")
    different_ranks()
    if Path("runs/fresh").exists():
        failures.append("a refused configuration left runs/fresh")


def different_ranks():
    """One rank has another command line: all leave with the error, and none waits for the others."""
    rank = [program.bitlaw, "train", "-c", "teacher.yaml", "run.name=fresh"]
    refuse("ranks with different configurations", [*rank[1:], ":", "-np", "1", *rank, "optim.lr=0.5"],
           "not the same on all ranks", "rank 1: optim.lr was", "0.5", ranks=1)


def shards():
    fresh = ["train", "-c", "teacher.yaml", "run.name=fresh"]
    refuse("no data set", [*fresh, "data.train=tokens/nowhere"], "tokens/nowhere")
    refuse("missing shard", [*fresh, damaged_copy("missing", lambda path: path.unlink())], "missing")
    refuse("truncated shard", [*fresh, damaged_copy("short", lambda path: os.truncate(path, 2000))], "truncated")
    refuse("bit-flipped shard", [*fresh, damaged_copy("flipped", flip_bit)], "checksum")
    refuse("tokens of another tokenizer", [*fresh, "tokenizer.from=runs/tokenizer2"], "tokenizer")
    write_idx("empty", "train", 0, 16)
    refuse("empty data set", ["data", "import", "empty", "--split", "train", "--out", "images/empty"], "empty")
    refuse("images that are none", ["data", "import", "runs", "--out", "images/none"], "runs")


def runs():
    fresh = ["train", "-c", "teacher.yaml", "run.name=fresh"]
    before = hash_of("runs/teacher")
    refuse("folder of another configuration", ["train", "-c", "teacher.yaml", "optim.lr=0.5"], "optim.lr", "0.5")
    refuse("checkpoint of another model", [*fresh, "--resume", "runs/student/checkpoints/step-00000002"], "another")
    shutil.copytree("runs/teacher/checkpoints/step-00000002", "unmarked")
    Path("unmarked/COMMITTED").unlink()
    refuse("checkpoint without marker", [*fresh, "--resume", "unmarked"], "COMMITTED")
    refuse("run without checkpoints", ["inspect", "images"], "images")
    must_work("train", "-c", "teacher.yaml", "run.name=teacher4", "model.depth=1", "tokenizer.from=runs/tokenizer")
    small = ["train", "-c", "tokenizer.yaml", "run.name=tokenizer16", "model.vq.codebook_size=16"]
    must_work(*small)
    for split in ("train", "test"):
        must_work("data", "tokenize", "--tokenizer", "runs/tokenizer16", "--in", f"images/{split}", "--out",
                  f"tokens16/{split}")
    refuse("teacher with another vocabulary",
           ["train", "-c", "student.yaml", "run.name=fresh", "model.init=random", "tokenizer.from=runs/tokenizer16",
            "data.train=tokens16/train", "data.validation=tokens16/test"], "16", "32")
    if hash_of("runs/teacher") != before:
        failures.append("runs/teacher changed")


def running_runs():
    """One start at a time; the next one goes on when the first is gone, however it went."""
    busy = ["train", "-c", "teacher.yaml", "run.name=busy", "train.max_steps=1000000"]
    first = program.start(*busy, stderr=subprocess.DEVNULL)
    while not Path("runs/busy/metrics.jsonl").exists() and first.poll() is None:
        time.sleep(0.01)
    refuse("run that is running", busy, "runs/busy is in use by", f"process {first.pid} on {socket.gethostname()}")
    must_work(*busy, "--dry-run")
    first.kill()
    first.communicate()
    must_work(*busy, "--stop-at", "1", code=75)


def longer_runs():
    """The mark "finished" is of the steps that were asked for; a refused start touches nothing."""
    constant = ["train", "-c", "teacher.yaml", "run.name=longer", "schedule.kind=constant"]
    mark = Path("runs/longer/finished")
    must_work(*constant)
    refuse("fewer steps than were made", [*constant, "train.max_steps=1"], "train.max_steps: 1", "made 2 steps")
    refuse("another cosine schedule", ["train", "-c", "teacher.yaml", "train.max_steps=4"], "train.max_steps: 4")
    if Path("runs/teacher/config.yaml").read_text().find("max_steps: 4") >= 0 or not mark.exists():
        failures.append("a refused start changed a run folder")
    must_work(*constant, "train.max_steps=4", "--stop-at", "3", code=75)
    if mark.exists():
        failures.append("a run that was extended and stopped is marked finished")
    must_work(*constant, "train.max_steps=4")
    if not mark.exists() or json.loads(mark.read_text())["step"] != 4:
        failures.append("a run that was extended and finished is not marked finished at its last step")


def models():
    refuse("path with a name too long", ["inspect", "n" * 300], "File name too long")
    refuse("tokenizer of a tokenizer", ["export", "runs/tokenizer", "--out", "pair", "--with-tokenizer"],
           "runs/tokenizer is a tokenizer")
    os.rename("runs/tokenizer", "tokenizer-of-the-student")
    shutil.copytree("runs/tokenizer2", "runs/tokenizer")
    refuse("tokenizer that was replaced", ["export", "runs/student", "--out", "pair", "--with-tokenizer"],
           "parameter_hash", "runs/tokenizer")
    shutil.rmtree("runs/tokenizer")
    must_work("export", "tokenizer-of-the-student", "--out", "tokenizer.export")
    shutil.copytree("tokenizer.export", "runs/tokenizer")  # an export will do
    if Path("pair").exists():
        failures.append("a refused export made its folder")
    must_work("export", "runs/student", "--out", "pair", "--with-tokenizer")
    os.makedirs("taken")
    must_work("export", "runs/tokenizer2", "--out", "other-tokenizer")
    shutil.copy("other-tokenizer/model.h5", "taken/tokenizer.h5")
    refuse("tokenizer of another run", ["export", "runs/student", "--out", "taken", "--with-tokenizer"],
           "taken/tokenizer.h5 is of run tokenizer2, not of tokenizer")
    if os.listdir("taken") != ["tokenizer.h5"]:
        failures.append("a refused tokenizer left a model beside it")
    must_work("verify", "pair/tokenizer.h5", "--against", "tokenizer-of-the-student")
    shutil.rmtree("runs/tokenizer")
    os.rename("tokenizer-of-the-student", "runs/tokenizer")
    must_work("export", "runs/teacher", "--ema", "--out", "averages")
    refuse("averages of an export of trained weights", ["eval", "pair", "--ema"], "--ema", "pair/model.h5")
    refuse("trained weights of an export of averages",
           ["train", "-c", "student.yaml", "run.name=fresh", "distill.teacher=averages", "distill.teacher_weights=model"],
           "distill.teacher_weights", "averages/model.h5")
    must_work("train", "-c", "student.yaml", "run.name=fresh", "distill.teacher=averages", "--dry-run")
    figures = json.loads(must_work("eval", "averages", "--teacher", "runs/teacher", "--teacher-weights", "ema", "--json"))
    if (figures["weights"], figures["teacher_weights"]) != ("ema", "ema"):
        failures.append(f"eval of an export of averages says {figures}")
    os.makedirs("occupied/model.h5/folder")
    refuse("export over a folder", ["export", "runs/student", "--out", "occupied"], "occupied/model.h5")
    shutil.copytree("runs/teacher", "renamed")
    for path in (Path("runs/teacher"), Path("renamed"), Path("renamed/checkpoints/step-00000002")):
        if not json.loads(must_work("inspect", path.resolve(), "--json", cwd="/"))["finished"]:
            failures.append(f"inspect does not see from elsewhere that {path} is finished")
    os.remove("renamed/finished")
    if json.loads(must_work("inspect", "renamed", "--json"))["finished"]:
        failures.append("inspect looks for the mark of renamed in runs/teacher")


def disks():
    refuse("folder that cannot be made", ["train", "-c", "teacher.yaml", "run.name=fresh", "run.dir=/proc/runs"],
           "/proc/runs")
    for ranks in (0, 2):
        refuse("tokens that cannot be written", ["data", "tokenize", "--tokenizer", "runs/tokenizer", "--in", "images/test",
                                                 "--out", "/proc/tokens"], "/proc/tokens", ranks=ranks)
    refuse("export that cannot be written", ["export", "runs/student", "--out", "/proc/export"], "/proc/export")
    must_work("train", "-c", "teacher.yaml", "run.name=limited", "--stop-at", "1", code=75)
    before = hash_of("runs/limited")
    refuse("full disk at a save", ["train", "-c", "teacher.yaml", "run.name=limited"], "runs/limited",
           shell_prefix="ulimit -f 16;")
    if hash_of("runs/limited") != before:
        failures.append("a save on a full disk cost the checkpoint before it")
    must_work("train", "-c", "teacher.yaml", "run.name=limited")
    if hash_of("runs/limited") != hash_of("runs/teacher"):
        failures.append("the run that met a full disk ended with other weights")
    refuse("full disk at an export", ["export", "runs/student", "--out", "export"], "export",
           shell_prefix="ulimit -f 4;")
    if Path("export").exists():
        failures.append(f"a failed export left its folder with {os.listdir('export')}")


def main():
    with tempfile.TemporaryDirectory(prefix="bitlaw-bad-input-") as folder:
        os.chdir(folder)
        prepare()
        for part in (configuration, shards, runs, running_runs, longer_runs, models, disks):
            part()
        os.chdir("/")
    if failures:
        sys.exit("FAILED: " + "; ".join(failures))


main()
