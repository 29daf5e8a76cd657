#!/usr/bin/env python3
"""Students of the quickstart with several seeds: are the distillation losses different beyond the noise of a seed?

usage: distillation_seeds.py FOLDER [--bitlaw FILE] [--bits 2 3] [--losses forward_kl topkld] [--seeds 2 3 4 5] [--ranks 2]

FOLDER is where launch/quickstart.sh has run: its tokens and its teacher are used. A seed chooses the order of the data and the
dropped labels; students of one seed see the same of both, so differences are paired. Runs that are finished are not
repeated. Prints a table of Markdown: the mean over seeds and the standard deviation of one seed.
"""
import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FIGURES = ("cross_entropy", "kl_teacher_student", "kl_student_teacher", "top1_agreement")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bitlaw", type=Path, default=REPOSITORY / "build/release/launch/bitlaw")
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--losses", nargs="+", default=["forward_kl", "topkld"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4, 5])
    parser.add_argument("--ranks", type=int, default=2)
    return parser.parse_args()


class Runner:
    def __init__(self, arguments):
        self.folder, self.bitlaw, self.ranks = arguments.folder, arguments.bitlaw.resolve(), arguments.ranks
        self.environment = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                                OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                                OMPI_MCA_hwloc_base_binding_policy="none")

    def on_ranks(self, *arguments):
        done = subprocess.run(["mpirun", "-np", str(self.ranks), self.bitlaw, *map(str, arguments)], cwd=self.folder,
                              env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def figures(self, bits, loss, seed):
        name = f"seeds-w{bits}-{loss}-{seed}"
        result = self.folder / "runs" / name / "eval" / "seeds.json"
        if not result.exists():
            self.on_ranks("train", "-q", "-c", REPOSITORY / f"configs/fashion/student_w{bits}_{loss}.yaml",
                          f"run.name={name}", f"run.seed={seed}")
            text = self.on_ranks("eval", f"runs/{name}", "--teacher", "runs/fashion-teacher", "--teacher-weights", "ema",
                                 "--json")
            result.parent.mkdir(exist_ok=True)
            result.write_text(text)
        return json.loads(result.read_text())


def spread(values):
    return f"{statistics.mean(values):.5f} ± {statistics.stdev(values):.5f}"


def main():
    arguments = parse()
    runner = Runner(arguments)
    print("| student | " + " | ".join(FIGURES) + " |\n| --- |" + " ---: |" * len(FIGURES), flush=True)
    for bits in arguments.bits:
        found = {loss: [runner.figures(bits, loss, seed) for seed in arguments.seeds] for loss in arguments.losses}
        for loss in arguments.losses:
            cells = [spread([one[key] for one in found[loss]]) for key in FIGURES]
            print(f"| {bits} bits, {loss} | " + " | ".join(cells) + " |", flush=True)
        first = arguments.losses[0]
        for loss in arguments.losses[1:]:
            cells = [spread([b[key] - a[key] for a, b in zip(found[first], found[loss])]) for key in FIGURES]
            print(f"| {bits} bits, {loss} minus {first}, paired | " + " | ".join(cells) + " |", flush=True)


main()
