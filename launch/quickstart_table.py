#!/usr/bin/python3
"""Prints the quickstart's table (Markdown) from the JSON files that bitlaw has left in the run folders.

    quickstart_table.py RUNS
"""
import json
import pathlib
import sys

ROWS = [("teacher, full precision", "fashion-teacher")]
for bits in (3, 2):
    ROWS += [
        (f"{bits} bits, round to nearest", f"fashion-var-w{bits}-rtn"),
        (f"{bits} bits, QAT, cross entropy", f"fashion-var-w{bits}-cross-entropy"),
        (f"{bits} bits, QAT, forward KL", f"fashion-var-w{bits}-forward-kl"),
        (f"{bits} bits, QAT, TopKLD", f"fashion-var-w{bits}-topkld"),
    ]

COLUMNS = [
    ("cross entropy", lambda figures, file: f"{figures['cross_entropy']:.4f}"),
    ("KL(teacher, student)", lambda figures, file: f"{figures['kl_teacher_student']:.4f}"),
    ("KL(student, teacher)", lambda figures, file: f"{figures['kl_student_teacher']:.4f}"),
    ("top-1 agreement", lambda figures, file: f"{100 * figures['top1_agreement']:.1f} %"),
    ("bits per weight", lambda figures, file: f"{file['bits_per_weight']:.2f}"),
    ("file, KiB", lambda figures, file: f"{file['file_bytes'] / 1024:.1f}"),
    ("theory, KiB", lambda figures, file: f"{file['theoretical_bytes'] / 1024:.1f}"),
]


def read_row(runs, name):
    folder = runs / name / "eval"
    figures = json.loads((folder / "quickstart.json").read_text())
    file = json.loads((folder / "inspect.json").read_text())
    return [column(figures, file) for _, column in COLUMNS], figures["samples"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    runs = pathlib.Path(sys.argv[1])
    header = ["model"] + [title for title, _ in COLUMNS]
    print("| " + " | ".join(header) + " |")
    print("| --- |" + " ---: |" * len(COLUMNS))
    samples = 0
    for label, name in ROWS:
        cells, samples = read_row(runs, name)
        print("| " + " | ".join([label] + cells) + " |")
    print(f"\nFirst {samples} test images, nats per token. Bits per weight count codes and scales of the quantised")
    print("layers (AdaLN has 8 bits everywhere); the file holds all of the model.")


if __name__ == "__main__":
    main()
