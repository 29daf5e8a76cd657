#!/usr/bin/env python3
"""Phases of quantised training with the real program: block-wise training, then scales alone on frozen codes; widths
that fall while a run trains; starts from models that are quantised otherwise, and with too few samples or bits, which are
refused.

usage: quantised_phases.py BITLAW MPIEXEC
"""
import json
import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from program import TINY_TOKENIZER, Program, write_idx  # noqa: E402

program = Program(*sys.argv[1:3])
RUN_AGAIN = 75

TOKENIZER = TINY_TOKENIZER + "data: {train: images/train, validation: images/test}\n"
TEACHER = """
run: {name: teacher, seed: 1}
task: {kind: pretrain}
data: {train: tokens/train, validation: tokens/test}
tokenizer: {from: runs/tokenizer}
model: {family: var, depth: 2, width: 32, num_heads: 2, ada_lin_gamma: 0.5}
train: {global_batch_size: 8, micro_batch_size: 4, max_steps: 4, ema_decay: 0.9, precision: fp32}
checkpoint: {interval: 1, keep_last: 20}
eval: {samples: 8, micro_batch_size: 4}
"""
STUDENT = TEACHER.replace("name: teacher", "name: student").replace("kind: pretrain", "kind: distill") + """
distill: {teacher: runs/teacher, loss: forward_kl}
quant: {method: lsq, weights: {num_bits: 3, group_size: 16}, ignore: [head]}
"""
BLOCKS = ["quant.method=block_ap", "quant.weights.symmetric=false", "model.init=teacher", "quant.calibration.samples=8",
          "quant.calibration.block_batch_size=4", "quant.calibration.block_lr=1e-3",
          "quant.calibration.block_scale_lr=1e-2"]


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def run(*arguments, code=0, ranks=0):
    done = program.run(*arguments, ranks=ranks)
    check(done.returncode == code, f"{arguments} gave {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def refuse(*arguments, parts, ranks=0):
    text = run(*arguments, code=2, ranks=ranks)
    for part in parts:
        check(part in text, f"{arguments}: the message lacks {part!r}:\n{text}")


def inspect(path):
    return json.loads(run("inspect", path, "--json"))


def export(source, out):
    """Codes, zero points and scales of every layer of the file, which has been proved equal to the run."""
    run("export", source, "--out", out)
    run("verify", f"{out}/model.h5", "--against", source)
    with h5py.File(f"{out}/model.h5") as file:
        return {name: {member: group[member][...] for member in group} | {"num_bits": int(group.attrs["num_bits"])}
                for name, group in file["weights"].items()}


def same(a, b, *members):
    return a.keys() == b.keys() and all(
        (member in a[name]) == (member in b[name]) and
        (member not in a[name] or np.array_equal(a[name][member], b[name][member])) for name in a for member in members)


def prepare():
    write_idx("raw", "train", 64, 16)
    write_idx("raw", "t10k", 16, 16)
    for name, text in (("tokenizer", TOKENIZER), ("teacher", TEACHER), ("student", STUDENT)):
        Path(f"{name}.yaml").write_text(text)
    for split in ("train", "test"):
        run("data", "import", "raw", "--split", split, "--out", f"images/{split}")
    run("train", "-c", "tokenizer.yaml")
    for split in ("train", "test"):
        run("data", "tokenize", "--tokenizer", "runs/tokenizer", "--in", f"images/{split}", "--out", f"tokens/{split}")
    run("train", "-c", "teacher.yaml")


def train_scales(source, name, *options):
    """E2E-QP on the codes of `source`, interrupted and resumed; returns the exported layers.

    The teacher has learned for four steps and hardly depends on its blocks: gradients are far below AdamW's usual eps."""
    arguments = ["train", "-c", "student.yaml", "quant.method=e2e_qp", f"model.init={source}", "optim.scale_lr=0.02", "optim.eps=1e-16", *options]
    run(*arguments, f"run.name={name}", "--stop-at", "2", code=RUN_AGAIN)
    run(*arguments, f"run.name={name}")
    run(*arguments, f"run.name={name}-undisturbed")
    check(inspect(f"runs/{name}")["state_hash"] == inspect(f"runs/{name}-undisturbed")["state_hash"],
          f"{name}: the resumed run differs from the undisturbed one")
    run("export", f"runs/{name}", "--ema", "--out", f"averages/{name}")
    run("verify", f"averages/{name}/model.h5", "--against", f"runs/{name}")
    return export(f"runs/{name}", f"exports/{name}")


def efficient_qat():
    text = run("ptq", "-c", "student.yaml", "run.name=blocks", *BLOCKS, ranks=2)
    check("block-wise training" in text and "blocks.1 " in text, f"no table of blocks:\n{text}")
    first = export("runs/blocks", "exports/blocks")
    asymmetric = "quant.weights.symmetric=false"
    last = train_scales("runs/blocks", "scales", asymmetric)
    check(same(first, last, "codes", "zero_point", "num_bits"), "E2E-QP changed codes or zero points")
    check(not same(first, last, "scale"), "E2E-QP did not train the scales")
    check(inspect("runs/blocks")["model_bits"] == inspect("runs/scales")["model_bits"], "E2E-QP changed the size")
    # From the file alone, it is the same run.
    from_file = train_scales("exports/blocks", "scales-of-file", asymmetric)
    check(same(first, from_file, "codes", "zero_point"), "E2E-QP from an export changed codes")
    run("ptq", "-c", "student.yaml", "run.name=ordered", "quant.method=gptq", "quant.calibration.act_order=true",
        "quant.transforms=[smooth]", "quant.calibration.samples=16", "model.init=teacher")
    ordered = export("runs/ordered", "exports/ordered")
    check(any("group_index" in layer for layer in ordered.values()) and
          any("input_transform" in layer for layer in ordered.values()), "nothing is scattered or multiplied")
    tuned = train_scales("runs/ordered", "scales-of-ordered")
    check(same(ordered, tuned, "codes", "group_index", "input_transform"), "E2E-QP lost groups or multipliers")
    refuse("train", "-c", "student.yaml", "run.name=fresh", "quant.method=e2e_qp", "model.init=runs/blocks",
           parts=["int3.g16.asym", "int3.g16.sym", "runs/blocks"])
    refuse("train", "-c", "student.yaml", "run.name=fresh", "quant.method=e2e_qp", "model.init=runs/teacher",
           parts=["runs/teacher", "bitlaw ptq"])


def scales_of_inputs(path):
    with h5py.File(f"{path}/model.h5") as file:
        return {name: group["scale"][...].tolist() for name, group in file["activations"].items()}


def inputs_of_frozen_codes():
    """Static scales of inputs: observed behind trained blocks, taken over with the codes, and trained with their scales."""
    eight = "quant.activations={num_bits: 8, dynamic: false, observer: percentile, percentile: 99}"
    text = run("ptq", "-c", "student.yaml", "run.name=blocks-a8", *BLOCKS, eight, ranks=2)
    check("static scales of inputs" in text, f"no table of inputs:\n{text}")
    arguments = ["train", "-c", "student.yaml", "run.name=scales-a8", "quant.method=e2e_qp", "model.init=runs/blocks-a8",
                 "quant.weights.symmetric=false", "optim.scale_lr=0.02", "optim.eps=1e-16",
                 "quant.activations={num_bits: 8, dynamic: false, method: lsq}"]
    run(*arguments, "--stop-at", "0", code=RUN_AGAIN)
    first, last = export("runs/blocks-a8", "exports/blocks-a8"), export("runs/scales-a8", "exports/scales-a8-first")
    check(same(first, last, "codes", "zero_point", "scale"), "E2E-QP does not begin with the weights that it was given")
    observed = scales_of_inputs("exports/blocks-a8")
    check(len(observed) == len(first), f"scales of inputs are missing: {observed}")
    check(observed == scales_of_inputs("exports/scales-a8-first"), "E2E-QP does not begin with the inputs that it was given")
    run(*arguments)
    last = export("runs/scales-a8", "exports/scales-a8")
    check(same(first, last, "codes", "zero_point"), "E2E-QP with inputs changed codes or zero points")
    check(observed != scales_of_inputs("exports/scales-a8"), "E2E-QP did not train the scales of inputs")
    refuse("train", "-c", "student.yaml", "run.name=fresh", "quant.method=e2e_qp", "model.init=exports/blocks-a8",
           "quant.weights.symmetric=false", parts=["inputs of int8.tensor.sym, the configuration leaves them unquantised"])


def rounded_masters():
    """Round-to-nearest leaves deployed weights as every other method does, and they have the same codes again."""
    run("ptq", "-c", "student.yaml", "run.name=nearest", "quant.method=rtn", "model.init=teacher")
    codes = export("runs/nearest", "exports/nearest")
    with h5py.File("runs/nearest/checkpoints/step-00000000/rank-00000-of-00001.h5") as file:
        for name in codes:
            groups = file[f"model/{name}.weight"][...].reshape(-1, 16)
            most = max(np.unique(group).size for group in groups)
            check(most <= 8, f"{name}: a master of 3 bits has {most} values in a group")


def progressive():
    arguments = ["train", "-c", "student.yaml", "quant.progressive={num_bits: [8, 4], steps: [2, 4]}", "train.max_steps=6",
                 "model.init=teacher", "quant.zero_points=learned", "quant.weights.symmetric=false"]
    for stop in (1, 2, 3, 4):
        run(*arguments, "run.name=falling", "--stop-at", stop, code=RUN_AGAIN, ranks=2)
    text = run(*arguments, "run.name=falling", ranks=2)
    run(*arguments, "run.name=falling-undisturbed", ranks=2)
    check(inspect("runs/falling")["state_hash"] == inspect("runs/falling-undisturbed")["state_hash"],
          "a run that was stopped at every width differs from the undisturbed one")
    log = Path("runs/falling-undisturbed/log.rank0000.txt").read_text()
    check("step 2: quant.progressive: weights have 4 bits" in log and "step 4:" in log, f"widths are not logged:\n{log}")
    for step, bits in ((1, 8), (2, 4), (3, 4), (4, 3), (6, 3)):
        layers = export(f"runs/falling/checkpoints/step-{step:08}", f"exports/falling-{step}")
        found = {layer["num_bits"] for layer in layers.values()}
        check(found == {bits}, f"step {step} has widths {found}, not {bits}")
    refuse(*arguments, "run.name=falling", "quant.progressive.steps=[2, 5]", parts=["quant.progressive.steps.1 was 4", "5"])
    refuse("ptq", "-c", "student.yaml", "run.name=fresh", "quant.method=rtn", "model.init=teacher",
           "quant.progressive={num_bits: [8], steps: [2]}", parts=["progressive with method: rtn"])


def other_specs():
    """Whatever starts from a quantised model under another quant section is refused, both specs named."""
    both = ["blocks.0.attn.mat_qkv: int3.g16.asym there, int4.g16.sym here", "full-precision"]
    for source in ("runs/blocks", "exports/blocks/model.h5", "runs/scales"):
        refuse("train", "-c", "student.yaml", "run.name=fresh", f"model.init={source}", "quant.weights.num_bits=4", parts=both)
        refuse("ptq", "-c", "student.yaml", "run.name=fresh", "quant.method=rtn", f"model.init={source}",
               "quant.weights.num_bits=4", parts=both)
    refuse("train", "-c", "student.yaml", "run.name=fresh", "model.init=runs/blocks", "quant.weights.symmetric=false",
           "quant.ignore=[head, '*.fc2']", parts=["ffn.fc2: int3.g16.asym there, not quantised here"])
    run("train", "-c", "student.yaml", "run.name=same", "model.init=runs/blocks", "quant.weights.symmetric=false")
    refuse("train", "-c", "student.yaml", "run.name=same", "model.init=runs/blocks", "quant.weights.symmetric=false",
           "quant.weights.num_bits=4", parts=["quant.weights.num_bits was 3 and is now 4"])
    refuse("train", "-c", "student.yaml", "run.name=fresh", "model.init=runs/blocks", "quant.weights.symmetric=false",
           "quant.weights.num_bits=3", "quant.weights.group_size=8", "--resume", "runs/same/checkpoints/step-00000004",
           parts=["quant.weights.group_size was 16 and is now 8"])
    check(not Path("runs/fresh").exists(), "a refused start left its folder")


def refused_starts():
    """What is known before the first sample is looked at is said then, and no folder is claimed."""
    gptq = ["ptq", "-c", "student.yaml", "run.name=fresh", "quant.method=gptq", "model.init=teacher"]
    for arguments in ([*gptq, "quant.calibration.samples=65"], [*gptq, "quant.calibration.samples=65", "--dry-run"],
                      ["train", "-c", "student.yaml", "run.name=fresh", "quant.activations={dynamic: false}",
                       "quant.calibration.samples=65"]):
        refuse(*arguments, parts=["quant.calibration.samples: 65, but data.train has 64"])
    refuse(*gptq, "quant.method=block_ap", "quant.weights.symmetric=false", "quant.calibration.block_batch_size=1",
           "quant.calibration.samples=8", parts=["quant.calibration.block_batch_size: 1 on 2 ranks"], ranks=2)
    refuse(*gptq, "data.train=''", parts=["data.train is missing [gptq measures the inputs of layers on its samples]"])
    refuse(*gptq, "quant.calibration.clip_lr=0.1", "quant.calibration.block_lr=0.1",
           parts=["command line: quant.calibration.clip_lr is given", "command line: quant.calibration.block_lr is given"])
    line = 1 + next(i for i, line in enumerate(STUDENT.splitlines()) if line.startswith("quant:"))
    refuse(*gptq, "quant.weights.format=e2m1", "quant.weights.grid=half",
           parts=[f"student.yaml:{line}: quant.weights: num_bits 3 with format: e2m1",
                  "command line: quant.weights: grid: half with type: float"])
    refuse(*gptq, "quant.method=none", parts=["nothing would be quantised"])
    check(not Path("runs/fresh").exists(), "a refused start left its folder")
    run(*gptq, "quant.calibration.samples=64")


def bit_budgets():
    """Refused from shapes; found once, and not measured again when the run is finished."""
    budget = ["ptq", "-c", "student.yaml", "run.name=budget", "quant.method=rtn", "model.init=teacher",
              "quant.calibration.samples=8", "--budget-bits"]
    refuse(*budget, 2.5, parts=["the least is 3 bits a weight", "give --budget-bits 3 or more"])
    refuse(*budget, 12, parts=["the most is 9 bits a weight", "give --budget-bits 9 or less"])
    refuse(*budget, 3, "quant.overrides=[{match: '*.fc2', weights: {num_bits: 8}}]", parts=["quant.overrides=[]"])
    refuse(*budget, "nan", parts=["--budget-bits nan", "a number of bits a weight"])
    refuse(*budget, 5, "data.train=''", parts=["the search for widths measures on its samples"])
    check(not Path("runs/budget").exists(), "a refused budget left its folder")
    run(*budget, 5, ranks=2)
    record = Path("runs/budget/mixed_precision.json")
    check("nothing to do" in run(*budget, 5), "a finished run does not say so")
    refuse(*budget, 4, parts=["runs/budget", "quant.overrides"])
    widths = json.loads(record.read_text())
    widths["layers"][0]["chosen"] = 8 if widths["layers"][0]["chosen"] != 8 else 2
    record.write_text(json.dumps(widths))  # other widths than the checkpoint's: they are read, not measured
    refuse(*budget, 5, parts=["quant.overrides.0.weights.num_bits"])


def main():
    with tempfile.TemporaryDirectory(prefix="bitlaw-phases-") as folder:
        os.chdir(folder)
        prepare()
        efficient_qat()
        inputs_of_frozen_codes()
        rounded_masters()
        progressive()
        other_specs()
        refused_starts()
        bit_budgets()
        os.chdir("/")
    print("all phases are done")


main()
