#!/usr/bin/python3
"""All stages of the main job on two ranks, at a tiny size and with the real program: import, tokenizer, tokens,
teacher (stopped, signalled and killed on the way), students, packed exports, verification, figures, pictures.

    tiny_pipeline.py BITLAW MPIEXEC CONFIGS
"""
import gzip
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from program import Program  # noqa: E402

IMAGES = pathlib.Path("/usr/share/datasets/fashion-mnist")
RUN_AGAIN = 75
STARTED = time.monotonic()


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def say(text):
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


def write_small_idx(folder, split, count):
    """The first `count` images, 28x28 averaged to 14x14; the import adds the border to 16x16."""
    with gzip.open(IMAGES / f"{split}-images-idx3-ubyte.gz") as file:
        pixels = file.read(16 + 784 * count)[16:]
    with gzip.open(IMAGES / f"{split}-labels-idx1-ubyte.gz") as file:
        labels = file.read(8 + count)[8:]
    small = bytearray()
    for top in range(0, 28 * count, 2):
        upper, lower = pixels[28 * top : 28 * top + 28], pixels[28 * top + 28 : 28 * top + 56]
        small += bytes((upper[i] + upper[i + 1] + lower[i] + lower[i + 1]) // 4 for i in range(0, 28, 2))
    (folder / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 14, 14) + small)
    (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)


class Pipeline:
    def __init__(self, bitlaw, mpiexec, configs, folder):
        self.program = Program(bitlaw, mpiexec)
        self.configs, self.folder = pathlib.Path(configs), pathlib.Path(folder)

    def start(self, ranks, *arguments):
        return self.program.start(*arguments, ranks=ranks, cwd=self.folder,
                                  stderr=subprocess.STDOUT if ranks else subprocess.PIPE)

    def finish(self, process, expected, what):
        output, errors = process.communicate(timeout=100)
        code = process.returncode
        if code not in (expected if isinstance(expected, tuple) else (expected,)):
            print(output, errors or "", sep="\n")
            sys.exit(f"FAILED: {what}: code {code} instead of {expected}")
        return output

    def run(self, ranks, *arguments, expected=0):
        output = self.finish(self.start(ranks, *arguments), expected, " ".join(map(str, arguments)))
        say(" ".join(map(str, arguments[:4])).replace(str(self.configs) + "/", ""))
        return output

    def json(self, *arguments):
        return json.loads(self.run(0, *arguments, "--json"))

    def train(self, config, *more, ranks=2, expected=0, command="train"):
        return self.run(ranks, command, "-c", self.configs / f"{config}.yaml", *more, expected=expected)

    def run_path(self, name):
        return self.folder / "runs" / name

    def steps(self, name):
        """Steps in metrics.jsonl; a line that is being written does not count."""
        path = self.run_path(name) / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line)["step"] for line in lines]

    def last_step(self, name):
        return max(self.steps(name), default=0)

    def hashes(self, name):
        found = self.json("inspect", f"runs/{name}")
        return found["step"], found["parameter_hash"], found["state_hash"]


def ranks_of(mpirun):
    children = pathlib.Path(f"/proc/{mpirun.pid}/task/{mpirun.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def interrupt(pipeline, config, name, send, expected):
    """Starts a training, lets it take some steps, and calls send(mpirun)."""
    before = pipeline.last_step(name)
    process = pipeline.start(2, "train", "-c", pipeline.configs / f"{config}.yaml")
    while pipeline.last_step(name) < before + 20 and process.poll() is None:
        time.sleep(0.005)
    check(process.poll() is None, f"{name} ended before it was interrupted at step {before + 20}")
    send(process)
    pipeline.finish(process, expected, f"{name}, interrupted")
    check(not (pipeline.run_path(name) / "finished").exists(), f"{name} was interrupted and says it is finished")
    say(f"{name} interrupted by {send.__name__} after step {before + 20}")


def term_to_one_rank(mpirun):
    os.kill(ranks_of(mpirun)[1], signal.SIGTERM)


def usr1_to_mpirun(mpirun):
    mpirun.send_signal(signal.SIGUSR1)


def kill_one_rank(mpirun):
    os.kill(ranks_of(mpirun)[1], signal.SIGKILL)


def make_data(pipeline):
    for split, out, count in (("train", "train", 3000), ("t10k", "test", 400)):
        write_small_idx(pipeline.folder, split, count)
        pipeline.run(0, "data", "import", ".", "--split", out, "--size", 16, "--out", f"shards/tiny/{out}")
    pipeline.run(0, "data", "verify", "shards/tiny/train")
    pipeline.train("tokenizer")
    for split in ("train", "test"):
        pipeline.run(2, "data", "tokenize", "--tokenizer", "runs/tiny-tokenizer", "--in", f"shards/tiny/{split}",
                     "--out", f"shards/tiny/{split}-tokens")


def train_teacher(pipeline):
    """Stopped at a step, by signals, and by the death of a rank: the same bits as an undisturbed run."""
    pipeline.train("teacher", "--stop-at", 30, expected=RUN_AGAIN)
    check(pipeline.hashes("tiny-teacher")[0] == 30, "--stop-at 30 did not save step 30")
    interrupt(pipeline, "teacher", "tiny-teacher", term_to_one_rank, RUN_AGAIN)
    interrupt(pipeline, "teacher", "tiny-teacher", usr1_to_mpirun, RUN_AGAIN)
    interrupt(pipeline, "teacher", "tiny-teacher", kill_one_rank, (RUN_AGAIN, 137, 205))
    pipeline.train("teacher")
    check((pipeline.run_path("tiny-teacher") / "finished").exists(), "the teacher has no mark 'finished'")
    check("finished" in pipeline.train("teacher"), "a second start does not say that the run is finished")
    pipeline.train("teacher", "run.name=undisturbed")
    check(pipeline.hashes("tiny-teacher") == pipeline.hashes("undisturbed"),
          "the interrupted teacher differs from the undisturbed one: "
          f"{pipeline.hashes('tiny-teacher')} {pipeline.hashes('undisturbed')}")
    steps = pipeline.steps("tiny-teacher")
    check(steps == sorted(set(steps)), "metrics.jsonl of the interrupted run repeats steps")
    check(steps == pipeline.steps("undisturbed"), "metrics.jsonl of the interrupted run has gaps")


def train_students(pipeline):
    pipeline.train("student_w2_rtn", command="ptq")
    pipeline.train("student_w2_rtn", "run.name=tiny-w2-gptq", "quant.method=gptq", command="ptq")
    log = pipeline.train("student_w2_rtn", "run.name=tiny-w4-awq", "quant.method=awq", "quant.weights.num_bits=4",
                         command="ptq")
    check("blocks.0.ffn.fc2" in log and "folded" in log, "the table of calibrated layers is missing")
    pipeline.train("student_w2_rtn", "run.name=tiny-w4-rotated", "quant.method=gptq", "quant.weights.num_bits=4",
                   "quant.transforms=[smooth, hadamard]", "quant.calibration.act_order=true", command="ptq")
    pipeline.train("student_w2_rtn", "run.name=tiny-mixed", "quant.overrides=[]", "--budget-bits", 3.5,
                   command="ptq")
    mixed = json.loads((pipeline.run_path("tiny-mixed") / "mixed_precision.json").read_text())
    check(3.0 < mixed["chosen"]["bits_per_weight"] <= 3.5, f"the budget is not kept: {mixed['chosen']}")
    picture = (pipeline.run_path("tiny-mixed") / "mixed_precision.png").read_bytes()
    check(picture.startswith(b"\x89PNG"), "the frontier was not drawn")
    pipeline.train("student_w2_cross_entropy")
    pipeline.train("student_w2_topkld")
    pipeline.train("student_w3_topkld", "--stop-at", 15, expected=RUN_AGAIN)
    pipeline.train("student_w3_topkld", ranks=1)  # another number of ranks goes on


STATIC = "dynamic: false, symmetric: false"


def quantise_inputs(pipeline):
    """Static scales of inputs: in the calibration walk; and observed, learned, stopped and resumed in a training.
    The trainer compares all tensors over the ranks before its first step."""
    log = pipeline.train("student_w2_rtn", "run.name=tiny-w8-a8", "quant.weights.num_bits=8",
                         f"quant.activations={{{STATIC}, observer: percentile}}", command="ptq")
    check("static scales of inputs" in log and "blocks.1.ffn.fc2" in log, "the table of static inputs is missing")
    learned = ("quant.activations={num_bits: 6, method: lsq_plus, " + STATIC + "}", "train.precision=bf16")
    first = pipeline.train("student_w3_topkld", "run.name=tiny-w3-a6", *learned, "--stop-at", 15, expected=RUN_AGAIN)
    second = pipeline.train("student_w3_topkld", "run.name=tiny-w3-a6", *learned)
    check("static scales" in first and "static scales" not in second, "a resumed run observes its inputs again")
    pipeline.train("student_w3_topkld", "run.name=tiny-w3-a6-undisturbed", *learned)
    check(pipeline.hashes("tiny-w3-a6") == pipeline.hashes("tiny-w3-a6-undisturbed"),
          "the resumed student with learned inputs differs from the undisturbed one")


def measure(pipeline, name, *options):
    pipeline.run(0, "export", f"runs/{name}", "--out", f"runs/{name}/export", *options)
    pipeline.run(0, "verify", f"runs/{name}/export/model.h5", "--against", f"runs/{name}")
    size = pipeline.json("inspect", f"runs/{name}/export/model.h5")
    slack = 0.01 * size["theoretical_bytes"] + 65536
    check(size["file_bytes"] <= size["theoretical_bytes"] + slack, f"{name}: the file is too large: {size}")
    figures = pipeline.json("eval", f"runs/{name}/export", "--teacher", "runs/tiny-teacher", "--teacher-weights", "ema")
    check(figures["samples"] == 200, f"{name}: evaluated on {figures['samples']} samples")
    return figures


def convert(pipeline):
    """To each container of others that holds the weights, and back: the native file is the same, byte for byte."""
    native = (pipeline.folder / "runs/tiny-w3-topkld/export/model.h5").read_bytes()
    for name in ["compressed-tensors", "compressed-tensors-0.17", "gptq", "gptq-v2", "gguf"]:
        widen = ["--widen"] if name == "gguf" else []
        pipeline.run(0, "convert", "runs/tiny-w3-topkld/export", "--to", name, "--out", f"there/{name}", *widen)
        pipeline.run(0, "convert", f"there/{name}", "--to", "native", "--out", f"back/{name}")
        back = (pipeline.folder / f"back/{name}/model.h5").read_bytes()
        check(back == native, f"{name}: the native file that came back is another one")
    pipeline.run(0, "convert", "runs/tiny-w3-a6/export", "--to", "compressed-tensors", "--out", "there/inputs")
    pipeline.run(0, "convert", "there/inputs", "--to", "native", "--out", "back/inputs")
    check((pipeline.folder / "back/inputs/model.h5").read_bytes() ==
          (pipeline.folder / "runs/tiny-w3-a6/export/model.h5").read_bytes(), "static inputs came back as others")
    pipeline.run(0, "convert", "runs/tiny-w3-a6/export", "--to", "gptq", "--out", "there/none", expected=2)
    pipeline.run(0, "export", "runs/tiny-w3-topkld", "--out", "exported", "--format", "compressed-tensors")
    check((pipeline.folder / "exported/model.safetensors").read_bytes() ==
          (pipeline.folder / "there/compressed-tensors/model.safetensors").read_bytes(), "export and convert differ")
    pipeline.run(0, "export", "runs/tiny-w2-topkld", "--out", "half", "--format", "gptq", expected=2)  # a half grid
    # Another run, another format: what lies there stays.
    for name, kind in (("tiny-w2-topkld", "compressed-tensors"), ("tiny-w3-topkld", "native")):
        pipeline.run(0, "export", f"runs/{name}", "--out", "exported", "--format", kind, expected=2)
    pipeline.run(0, "export", "runs/tiny-w3-topkld", "--out", "exported", "--format", "compressed-tensors")
    pipeline.run(0, "convert", "exported", "--to", "native", "--out", "exported", expected=2)


def compare(figures):
    kl = {name: values["kl_teacher_student"] for name, values in figures.items()}
    say(f"KL(teacher, student): {kl}")
    check(kl["tiny-teacher"] < 0.01, "the packed teacher is far from itself")
    check(kl["tiny-w2-topkld"] < kl["tiny-w2-rtn"], "distillation is no better than rounding at 2 bits")
    for better in ("tiny-w4-awq", "tiny-w4-rotated", "tiny-mixed"):
        check(kl[better] < kl["tiny-w2-rtn"], f"{better} is no better than rounding to 2 bits")
    check(kl["tiny-w2-gptq"] < kl["tiny-w2-rtn"], "GPTQ is no better than rounding at 2 bits")
    check(kl["tiny-w2-cross-entropy"] < kl["tiny-w2-rtn"], "QAT is no better than rounding at 2 bits")
    check(kl["tiny-w3-topkld"] < kl["tiny-w2-topkld"], "3 bits are no better than 2")
    check(kl["tiny-w8-a8"] < kl["tiny-w4-awq"], "8-bit weights and inputs are no better than 4-bit weights")
    check(kl["tiny-w3-a6"] < kl["tiny-w2-rtn"], "a student with 6-bit inputs has learned nothing")
    check(figures["tiny-teacher"]["cross_entropy"] < 4.0, "the teacher has learned nothing (ln 64 = 4.16)")


def draw(pipeline):
    pipeline.run(0, "sample", "runs/tiny-teacher/export", "runs/tiny-w2-topkld/export", "runs/tiny-w2-rtn/export",
                 "--count", 4, "--columns", 4, "--seed", 7, "--out", "grid.png")
    check((pipeline.folder / "grid.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", "grid.png is no PNG")


def main():
    with tempfile.TemporaryDirectory(prefix="bitlaw-tiny-") as folder:
        pipeline = Pipeline(*sys.argv[1:4], folder)
        make_data(pipeline)
        train_teacher(pipeline)
        train_students(pipeline)
        quantise_inputs(pipeline)
        names = ["tiny-w2-rtn", "tiny-w2-gptq", "tiny-w4-awq", "tiny-w4-rotated", "tiny-mixed",
                 "tiny-w2-cross-entropy", "tiny-w2-topkld", "tiny-w3-topkld", "tiny-w8-a8", "tiny-w3-a6"]
        figures = {"tiny-teacher": measure(pipeline, "tiny-teacher", "--ema")}
        figures.update({name: measure(pipeline, name) for name in names})
        compare(figures)
        draw(pipeline)
        convert(pipeline)
        say("all stages are done")


if __name__ == "__main__":
    main()
