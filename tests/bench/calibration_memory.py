#!/usr/bin/env python3
"""Peak memory of a calibration against the number of its samples, on the quickstart's teacher.

usage: calibration_memory.py FOLDER [--bitlaw FILE] [--samples 32 128 512 2048]

FOLDER is where launch/quickstart.sh has run. One process; GPTQ at 4 bits. Prints a table of Markdown.
"""
import argparse
import os
import shutil
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def measure(folder, bitlaw, samples):
    """Peak resident size in MiB and seconds of one `bitlaw ptq`."""
    name = f"memory-{samples}"
    shutil.rmtree(folder / "runs" / name, ignore_errors=True)
    start = time.monotonic()
    child = subprocess.Popen([bitlaw, "ptq", "-q", "-c", REPOSITORY / "configs/fashion/student.yaml", f"run.name={name}",
                              "quant.method=gptq", "quant.weights.num_bits=4", f"quant.calibration.samples={samples}"],
                             cwd=folder, env=dict(os.environ, OMP_NUM_THREADS="1"))
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"bitlaw ptq failed with status {status}")
    shutil.rmtree(folder / "runs" / name)
    return usage.ru_maxrss / 1024, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bitlaw", type=Path, default=REPOSITORY / "build/release/launch/bitlaw")
    parser.add_argument("--samples", type=int, nargs="+", default=[32, 128, 512, 2048])
    arguments = parser.parse_args()
    print("| samples | peak memory, MiB | seconds |\n| ---: | ---: | ---: |")
    for samples in arguments.samples:
        memory, seconds = measure(arguments.folder, arguments.bitlaw.resolve(), samples)
        print(f"| {samples} | {memory:.0f} | {seconds:.1f} |", flush=True)


main()
