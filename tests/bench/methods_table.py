#!/usr/bin/env python3
"""Methods x bits x formats on the quickstart's teacher, after training and in training: validation cross entropy and
KL(teacher, student).

usage: methods_table.py FOLDER [--bitlaw FILE] [--ranks 2] [--only TEXT]

FOLDER is where launch/quickstart.sh has run: its tokens and its teacher are used. Weights have groups of 64 with float16 scales
unless a row says otherwise, the head stays in bfloat16, everything else has the column's bits, AdaLN too. Calibration: 128
training samples. Trained students make the quickstart's 120 steps of TopKLD. What is finished is not repeated. Prints tables of Markdown, cells "cross entropy / KL", and layers ranked by
sensitivity. --only: rows whose name holds TEXT.
"""
import argparse
import json
import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BITS = (8, 4, 3, 2)
SYMMETRIC = ("quant.weights.symmetric=true",)
# name -> overrides of the configuration, which numbers the row has
METHODS = {
    "rtn, absmax": (("quant.method=rtn", "quant.scale_search=absmax"), "if"),
    "rtn, least squared error": (("quant.method=rtn",), "if"),
    "rtn, hadamard": (("quant.method=rtn", "quant.transforms=[hadamard]"), "if"),
    "awq": (("quant.method=awq",), "if"),
    "omniquant": (("quant.method=omniquant",), "i"),
    "gptq": (("quant.method=gptq",), "if"),
    "gptq, act-order": (("quant.method=gptq", "quant.calibration.act_order=true"), "if"),
    "gptq, hadamard": (("quant.method=gptq", "quant.transforms=[hadamard]"), "if"),
}
ASYMMETRIC = {
    "rtn, least squared error, asymmetric": ("quant.method=rtn", "quant.weights.symmetric=false"),
    "hqq": ("quant.method=hqq", "quant.weights.symmetric=false", "quant.weights.zero_point_dtype=float16"),
    "omniquant, asymmetric": ("quant.method=omniquant", "quant.weights.symmetric=false"),
    "gptq, asymmetric": ("quant.method=gptq", "quant.weights.symmetric=false"),
}
TOKENS = "quant.activations={num_bits: %d, type: int, strategy: token, dynamic: true}"
ACTIVATIONS = {
    "rtn": ("quant.method=rtn",),
    "rtn, smooth": ("quant.method=rtn", "quant.transforms=[smooth]"),
    "rtn, smooth, hadamard": ("quant.method=rtn", "quant.transforms=[smooth, hadamard]"),
    "gptq": ("quant.method=gptq",),
    "gptq, smooth": ("quant.method=gptq", "quant.transforms=[smooth]"),
}
STATIC = "quant.activations={num_bits: %d, type: int, strategy: tensor, dynamic: false, symmetric: false, observer: %s, method: %s}"
OBSERVERS = ("minmax", "moving_average", "percentile", "mse")
TRAINED = {
    "ste": (("quant.method=ste", *SYMMETRIC), "if"),
    "lsq": (("quant.method=lsq", *SYMMETRIC), "if"),
    "lsq, learned zero points": (("quant.method=lsq", "quant.weights.symmetric=false", "quant.zero_points=learned"), "i"),
}
TRAINED_INPUTS = {
    "lsq, inputs by token": lambda bits: TOKENS % bits,
    "lsq, inputs static, fixed": lambda bits: STATIC % (bits, "mse", "fixed"),
    "lsq, inputs lsq": lambda bits: STATIC % (bits, "mse", "lsq"),
    "lsq, inputs lsq_plus": lambda bits: STATIC % (bits, "mse", "lsq_plus"),
    "lsq, inputs pact, symmetric": lambda bits: (STATIC % (bits, "mse", "pact")).replace("symmetric: false", "symmetric: true"),
}
TOPKLD = ("distill.loss=topkld", "distill.top_k=56", "distill.head=forward", "distill.tail=reverse", "distill.norm=generalised")
OTHERS = {
    "E3M0": ("quant.weights.type=float", "quant.weights.format=e3m0",),
    "NF4": ("quant.weights.type=nf", "quant.weights.num_bits=4"),
    "E2M1, two-sided scales": ("quant.weights.type=float", "quant.weights.format=e2m1", "quant.weights.symmetric=false"),
    "MXFP4": ("quant.weights.type=float", "quant.weights.format=e2m1", "quant.weights.group_size=32", "quant.weights.scale_dtype=e8m0"),
    "NVFP4": ("quant.weights.type=float", "quant.weights.format=e2m1", "quant.weights.group_size=16", "quant.weights.scale_dtype=e4m3"),
    "NF3": ("quant.weights.type=nf", "quant.weights.num_bits=3"),
    "E2M0": ("quant.weights.type=float", "quant.weights.format=e2m0",),
    "2 bits, integer grid": ("quant.weights.type=int", "quant.weights.num_bits=2", "quant.weights.grid=integer"),
    "ternary": ("quant.weights.type=ternary",),
}


class Runner:
    def __init__(self, arguments):
        self.folder, self.bitlaw, self.ranks = arguments.folder, arguments.bitlaw.resolve(), arguments.ranks
        self.only = arguments.only
        self.environment = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                                OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                                OMPI_MCA_hwloc_base_binding_policy="none")

    def on_ranks(self, *arguments):
        command = ["mpirun", "-np", str(self.ranks), str(self.bitlaw), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        return done.stdout

    def run(self, name, *overrides, command="ptq"):
        """The folder of a run with these overrides, made unless it is there."""
        run = f"{command}-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if not (self.folder / "runs" / run / "finished").exists():
            budget = [o for o in overrides if o.startswith("--")]
            settings = [o for o in overrides if not o.startswith("--")]
            self.on_ranks(command, "-q", "-c", REPOSITORY / "configs/fashion/student.yaml", *budget, f"run.name={run}",
                          "quant.overrides=[]", *settings)
        return self.folder / "runs" / run

    def figures(self, name, *overrides, command="ptq"):
        run = self.run(name, *overrides, command=command)
        result = run / "eval" / "table.json"
        if not result.exists():
            text = self.on_ranks("eval", f"runs/{run.name}", "--teacher", "runs/fashion-teacher", "--teacher-weights", "ema",
                                 "--json")
            result.parent.mkdir(exist_ok=True)
            result.write_text(text)
        return json.loads(result.read_text())

    def cell(self, name, *overrides, command="ptq"):
        found = self.figures(name, *overrides, command=command)
        return f"{found['cross_entropy']:.4f} / {found['kl_teacher_student']:.4f}"

    def row(self, name, cells):
        if not self.only or self.only in name:
            print(f"| {name} | " + " | ".join(cell() for cell in cells) + " |", flush=True)


def header(title, columns):
    print(f"\n{title}\n\n| | " + " | ".join(columns) + " |\n| --- |" + " ---: |" * len(columns), flush=True)


def integer(bits):
    return ("quant.weights.type=int", f"quant.weights.num_bits={bits}")


def floating(bits):
    return ("quant.weights.type=float", f"quant.weights.num_bits={bits}")


def methods(runner):
    header("Integers, symmetric (2 bits: half grid)", [f"{bits} bits" for bits in BITS])
    for name, (overrides, _) in METHODS.items():
        runner.row(name, [lambda b=bits: runner.cell(f"int{b} {name}", *integer(b), *SYMMETRIC, *overrides) for bits in BITS])
    header("Integers with zero points", [f"{bits} bits" for bits in BITS])
    for name, overrides in ASYMMETRIC.items():
        runner.row(name, [lambda b=bits: runner.cell(f"int{b} {name}", *integer(b), *overrides) for bits in BITS])
    header("Floats (no format has 2 bits)", ["E4M3", "E2M1", "E1M1"])
    for name, (overrides, kinds) in METHODS.items():
        if "f" in kinds:
            runner.row(name, [lambda b=bits: runner.cell(f"float{b} {name}", *floating(b), *overrides) for bits in BITS[:3]])


def others(runner):
    header("Other numbers, least squared error", ["rtn", "gptq"])
    for name, overrides in OTHERS.items():
        runner.row(name, [lambda m=method: runner.cell(f"{name} {m}", f"quant.method={m}", *overrides)
                          for method in ("rtn", "gptq")])


def activations(runner):
    columns = [(8, 8), (4, 8), (4, 4)]
    header("Weights and activations (per token)", [f"W{w} A{a}" for w, a in columns])
    for name, overrides in ACTIVATIONS.items():
        runner.row(name, [lambda w=w, a=a: runner.cell(f"w{w}a{a} {name}", *integer(w), TOKENS % a, *overrides)
                          for w, a in columns])


def static_inputs(runner):
    columns = [(8, 8), (4, 8), (4, 4)]
    header("Weights and activations (one range for a layer's input), rtn", [f"W{w} A{a}" for w, a in columns])
    for observer in OBSERVERS:
        runner.row(observer, [lambda w=w, a=a: runner.cell(f"w{w}a{a} static {observer}", *integer(w), "quant.method=rtn",
                                                           STATIC % (a, observer, "fixed")) for w, a in columns])


def efficient_qat(runner):
    header("EfficientQAT, integers with zero points", [f"{bits} bits" for bits in BITS])
    phase = ("quant.method=block_ap", "quant.weights.symmetric=false")
    runner.row("block_ap", [lambda b=bits: runner.cell(f"int{b} block_ap", *integer(b), *phase) for bits in BITS])
    def both(bits):
        start = runner.run(f"int{bits} block_ap", *integer(bits), *phase)
        return runner.cell(f"int{bits} e2e_qp", *integer(bits), "quant.method=e2e_qp", "quant.weights.symmetric=false",
                           f"model.init=runs/{start.name}", *TOPKLD, command="train")
    runner.row("block_ap, then e2e_qp", [lambda b=bits: both(b) for bits in BITS])


def trained(runner):
    header("Trained, 120 steps, integers", [f"{bits} bits" for bits in BITS])
    for name, (overrides, _) in TRAINED.items():
        runner.row(name, [lambda b=bits: runner.cell(f"int{b} {name}", *integer(b), *overrides, *TOPKLD, command="train")
                          for bits in BITS])
    header("Trained, 120 steps, floats", ["E4M3", "E2M1", "E1M1"])
    for name, (overrides, kinds) in TRAINED.items():
        if "f" in kinds:
            runner.row(name, [lambda b=bits: runner.cell(f"float{b} {name}", *floating(b), *overrides, *TOPKLD, command="train")
                              for bits in BITS[:3]])
    columns = [(4, 8), (4, 4)]
    header("Trained, 120 steps, with activations", [f"W{w} A{a}" for w, a in columns])
    for name, inputs in TRAINED_INPUTS.items():
        runner.row(name, [lambda w=w, a=a: runner.cell(f"w{w}a{a} {name}", *integer(w), *SYMMETRIC, "quant.method=lsq", inputs(a),
                                                       *TOPKLD, command="train") for w, a in columns])


def sensitivity(runner):
    run = runner.run("budget", "--budget-bits=3", *integer(4), "quant.method=rtn")
    found = json.loads((run / "mixed_precision.json").read_text())
    kinds = defaultdict(list)
    for layer in found["layers"]:
        kind = re.sub(r"^blocks\.\d+\.", "", layer["name"])
        kinds[kind].append(layer)
    header("Sensitivity, sum over blocks of KL with that kind of layer alone rounded, 2 and 3 bits",
           ["weights", "KL, 2 bits", "KL, 3 bits", "KL per Mbit saved (8 to 2 bits)", "chosen at 3 bits a weight"])
    def per_bit(layers):
        return sum(l["kl"][0] - l["kl"][-1] for l in layers) / sum(l["bits"][-1] - l["bits"][0] for l in layers) * 1e6
    for kind, layers in sorted(kinds.items(), key=lambda item: -per_bit(item[1])):
        print(f"| {kind} | {sum(l['weights'] for l in layers)} | {sum(l['kl'][0] for l in layers):.5f} | "
              f"{sum(l['kl'][1] for l in layers):.5f} | {per_bit(layers):.4g} | "
              f"{', '.join(str(l['chosen']) for l in layers)} |")
    header("Mixed precision, round to nearest", ["all layers alike", "--budget-bits with the same bits"])
    for bits, width in ((2.25, 2), (3.25, 3), (4.25, 4)):
        runner.row(f"{bits} bits a weight", [
            lambda: runner.cell(f"int{width} rtn, least squared error", *integer(width), *SYMMETRIC, "quant.method=rtn"),
            lambda: runner.cell(f"budget {bits}", f"--budget-bits={bits}", *integer(4), "quant.method=rtn")])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bitlaw", type=Path, default=REPOSITORY / "build/release/launch/bitlaw")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--only", default="")
    runner = Runner(parser.parse_args())
    methods(runner)
    others(runner)
    activations(runner)
    static_inputs(runner)
    efficient_qat(runner)
    trained(runner)
    if not runner.only:
        sensitivity(runner)


main()
