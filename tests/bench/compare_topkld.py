#!/usr/bin/env python3
"""Fused divergences against PyTorch, in one run: every round asks each side once, so that both see the same machine.

Run: tests/bench/compare_topkld.py --ours build/release/tests/bench/topkld_bench --python VENV/bin/python

Each side runs twice: as it is, and with an allocator that keeps its pages ("warm": glibc's mmap and trim
thresholds raised). Prints one table of milliseconds (median over rounds) and the ratios peer / ours (the plain
composition, and PyTorch's fastest variant), by wall time and by CPU time; where others use the machine, CPU time is
the one to read.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WARM = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592", "MALLOC_TOP_PAD_": "67108864"}
OURS = ["topkld", "topkld:lowest", "topkld:bfloat16", "topkld:evaluate", "forward_kl", "reverse_kl", "jsd", "mse"]
PEERS = [f"topkld:{kind}{variant}" for kind in ("", "compiled_") for variant in ("scatter", "threshold", "gather", "manual")]
PEERS += ["topkld:scatter:bfloat16"]
PEERS += [f"{loss}:{kind}eager" for loss in ("forward_kl", "reverse_kl", "jsd", "mse") for kind in ("", "compiled_")]


class Side:
    """A program that answers cases, started once."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "OMP_NUM_THREADS": "1", **environment})

    def ask(self, case):
        print(case, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args[0]} ended at case {case}")
        return json.loads(answer)


def collect(sides, cases, rounds, options):
    times = {}
    for _ in range(rounds):
        for (name, side), case in ((s, c) for c in range(max(map(len, cases.values()))) for s in sides.items()):
            of_side = cases[name.split()[0]]
            if case >= len(of_side):
                continue
            answer = side.ask(of_side[case] + options)
            if "error" in answer:
                print(f"{name}: {answer['case']}: {answer['error']}", file=sys.stderr)
            else:
                times.setdefault((name, of_side[case]), []).append(answer)
    return times


def median(answers, key):
    return statistics.median(answer[key] for answer in answers)


def print_times(times, logits):
    print(f"{'side':10s} {'case':34s} {'wall ms':>9s} {'cpu ms':>9s} {'cpu ns/logit':>13s} {'loss':>11s}")
    for (name, case), answers in times.items():
        cpu = median(answers, "cpu_ms")
        print(f"{name:10s} {case:34s} {median(answers, 'wall_ms'):9.2f} {cpu:9.2f} {cpu * 1e6 / logits:13.2f} "
              f"{answers[0]['value']:11.6f}")


def print_ratios(times, cases):
    print(f"\n{'peer / ours':58s} {'wall':>7s} {'cpu':>7s}   (median over rounds)")
    for allocator in ("default", "warm"):
        for case in cases["ours"]:
            loss = case.split(":")[0]
            for kind in ("", "compiled_"):
                peers = [p for s, p in times if s == f"peer {allocator}" and p.startswith(f"{loss}:") and
                         p.split(":")[1].startswith("compiled_") == bool(kind) and
                         ("bfloat16" in p) == ("bfloat16" in case)]
                ours = times.get((f"ours {allocator}", case))
                if not peers or not ours or "evaluate" in case:
                    continue
                best = min(peers, key=lambda p: median(times[f"peer {allocator}", p], "cpu_ms"))
                plain = [p for p in peers if p.split(":")[1] in ("scatter", "eager") and p != best]
                for peer in [*plain, best]:
                    pairs = list(zip(times[f"peer {allocator}", peer], ours))
                    ratios = [statistics.median(p[key] / o[key] for p, o in pairs) for key in ("wall_ms", "cpu_ms")]
                    print(f"{allocator:8s}{peer + ' / ' + case:50s} {ratios[0]:7.2f} {ratios[1]:7.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, help="topkld_bench")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=1360)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--top-k", type=int, default=900)
    parser.add_argument("--repeats", type=int, default=5, help="steps measured each time a side is asked")
    parser.add_argument("--quick", action="store_true", help="topkld alone, no torch.compile")
    arguments = parser.parse_args()
    cases = {"ours": OURS, "peer": PEERS}
    if arguments.quick:
        cases = {side: [c for c in all_ if c.startswith("topkld") and "compiled" not in c] for side, all_ in cases.items()}
    sides = {}
    for allocator, environment in (("default", {}), ("warm", WARM)):
        sides[f"ours {allocator}"] = Side([arguments.ours], environment)
        sides[f"peer {allocator}"] = Side([arguments.python, str(HERE / "peers" / "topkld.py")], environment)
    options = (f":tokens={arguments.tokens}:vocab={arguments.vocab}:top_k={arguments.top_k}"
               f":repeats={arguments.repeats}")
    times = collect(sides, cases, arguments.rounds, options)
    print_times(times, arguments.tokens * arguments.vocab)
    print_ratios(times, cases)


if __name__ == "__main__":
    main()
