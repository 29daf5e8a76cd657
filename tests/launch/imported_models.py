#!/usr/bin/env python3
"""Imported weights in every command that takes a model, with the real program.

usage: imported_models.py BITLAW MPIEXEC
A tokenizer and a VAR are trained for two steps and written as safetensors under the published names; what is imported
from there must be the same models: the same hashes, figures, tokens and pictures, to the bit.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from program import ENVIRONMENT, TINY_TOKENIZER, Program, write_idx  # noqa: E402

program = Program(*sys.argv[1:3])

TOKENIZER = TINY_TOKENIZER + "data: {train: images/train, validation: images/test}\n"
TEACHER = """
run: {name: teacher, seed: 1}
task: {kind: pretrain}
data: {train: tokens/train, validation: tokens/test}
tokenizer: {from: runs/tokenizer}
model: {family: var, depth: 1, width: 32, num_heads: 2, ada_lin_gamma: 0.5}
train: {global_batch_size: 8, micro_batch_size: 4, max_steps: 2, precision: fp32}
eval: {samples: 8, micro_batch_size: 4}
"""
DATA = ["data.train=tokens/train", "data.validation=tokens/test", "eval.samples=8", "eval.micro_batch_size=4",
        "train.precision=fp32"]
W4 = ["quant.weights.num_bits=4", "quant.weights.strategy=group", "quant.weights.group_size=16", "quant.ignore=[head]"]
HQQ = ["quant.method=hqq", "quant.weights.symmetric=false", "quant.weights.zero_point_dtype=float16", *W4]
RTN = ["quant.method=rtn", *W4]
STUDENT = ["run.name=student", "task.kind=distill", "distill.teacher=import/teacher", "model.init=teacher",
           "distill.top_k=8", "train.global_batch_size=8", "train.micro_batch_size=4", "train.max_steps=2"]


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def run(*arguments, code=0, **options):
    done = program.run(*arguments, **options)
    if done.returncode != code:
        sys.exit(f"FAILED: {arguments} gave {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
    return done.stdout if code == 0 else done.stderr


def read(*arguments):
    return json.loads(run(*arguments, "--json"))


def make_originals():
    write_idx("raw", "train", 64, 16)
    write_idx("raw", "t10k", 16, 16)
    Path("tokenizer.yaml").write_text(TOKENIZER)
    Path("teacher.yaml").write_text(TEACHER)
    for split in ("train", "test"):
        run("data", "import", "raw", "--split", split, "--out", f"images/{split}")
    run("train", "-c", "tokenizer.yaml")
    for split in ("train", "test"):
        run("data", "tokenize", "--tokenizer", "runs/tokenizer", "--in", f"images/{split}", "--out", f"tokens/{split}")
    run("train", "-c", "teacher.yaml")
    for name in ("tokenizer", "teacher"):
        run("export", f"runs/{name}", "--out", f"published/{name}", "--format", "compressed-tensors")


def import_both():
    run("import", "published/tokenizer/model.safetensors", "-c", "tokenizer.yaml", "--out", "import/tokenizer")
    made = read("import", "published/teacher/model.safetensors", "-c", "teacher.yaml", "--tokenizer", "import/tokenizer",
                "--out", "import/teacher")
    check(made["num_classes"] == 4, f"the classes are those of the label table: {made}")
    for name in ("tokenizer", "teacher"):
        original, imported = read("inspect", f"runs/{name}"), read("inspect", f"import/{name}")
        for key in ("parameter_hash", "model_bits", "bits_per_weight", "other_values"):
            check(original[key] == imported[key], f"{name}: {key} {imported[key]} instead of {original[key]}")
        check(imported["kind"] == "import" and imported["imported_from"] == "model.safetensors", str(imported))
    check(made["tokenizer_hash"] == read("inspect", "runs/tokenizer")["parameter_hash"], str(made))
    check(made["tokenizer_hash"] == read("inspect", "import/teacher")["tokenizer_hash"], "inspect hides the tokenizer's hash")
    check(made["parameters"] == read("inspect", "import/teacher")["other_values"], str(made))


def use_as_they_are():
    for name in ("tokenizer", "teacher"):
        ours, theirs = read("eval", f"import/{name}"), read("eval", f"runs/{name}")
        differing = {key for key in theirs if ours[key] != theirs[key]} - {"model", "step"}
        check(not differing, f"{name}: figures differ: {ours} {theirs}")
    run("data", "tokenize", "--tokenizer", "import/tokenizer", "--in", "images/test", "--out", "tokens/again")
    check(read("data", "inspect", "tokens/again")["content_hash"] == read("data", "inspect", "tokens/test")["content_hash"],
          "the imported tokenizer gives other tokens")
    for name in ("import", "runs"):
        run("sample", f"{name}/teacher", "--names", "one", "--count", 4, "--labels", 0, 1, "--out", f"{name}.png")
    inside = [Path(f"{name}.png").read_bytes().partition(b"IDAT")[2] for name in ("import", "runs")]
    check(inside[0] == inside[1], "the imported model draws other pictures")


def quantise():
    """Without data from the import, and with data from the run: the same codes."""
    inputs = ["quant.activations={num_bits: 8}"]
    for method, options in (("rtn", RTN), ("hqq", HQQ), ("inputs", RTN + inputs)):
        run("ptq", "-c", "import/teacher/model.yaml", f"run.name={method}", *options)
        run("ptq", "-c", "teacher.yaml", f"run.name={method}-data", "model.init=runs/teacher", *options)
        alone, whole = read("inspect", f"runs/{method}"), read("inspect", f"runs/{method}-data")
        for key in ("parameter_hash", "model_bits", "step", "finished"):
            check(alone[key] == whole[key], f"{method}: {key} {alone[key]} instead of {whole[key]}")
        run("export", f"runs/{method}", "--out", f"export/{method}", "--with-tokenizer")
        run("verify", f"export/{method}/model.h5", "--against", f"runs/{method}-data")
    check("nothing to do" in program.run("ptq", "-c", "import/teacher/model.yaml", "run.name=hqq", *HQQ).stderr,
          "a second ptq does not say that the run is finished")
    for method, options in (("hqq", HQQ), ("rtn", RTN)):
        run("ptq", "-c", "import/teacher/model.yaml", "run.name=two-ranks", "run.dir=" + method, *options, ranks=2)
        check(read("inspect", f"{method}/two-ranks")["parameter_hash"] == read("inspect", f"runs/{method}")["parameter_hash"],
              f"{method}: two ranks quantise to other codes")
    figures = read("eval", "export/hqq", "--data", "tokens/test", "--teacher", "import/teacher", "--samples", 8)
    check(0 <= figures["kl_teacher_student"] < 0.1, f"4 bits are far from the teacher: {figures}")
    run("convert", "export/hqq", "--to", "native", "--out", "convert/hqq")
    check(Path("convert/hqq/model.h5").read_bytes() == Path("export/hqq/model.h5").read_bytes(), "the converted file differs")


def train_on():
    run("ptq", "-c", "import/teacher/model.yaml", "run.name=gptq", "quant.method=gptq", "quant.calibration.samples=16",
        *DATA, *W4)
    run("train", "-c", "import/teacher/model.yaml", *STUDENT, *DATA, "quant.method=lsq", *W4)
    run("export", "runs/student", "--out", "export/student", "--with-tokenizer")
    check(read("eval", "export/student")["samples"] == 8, "the student's teacher is not found")


def there_and_back():
    """A full-precision import through another container, and in again: the same file."""
    run("convert", "import/teacher", "--to", "compressed-tensors", "--out", "convert/teacher")
    run("import", "convert/teacher/model.safetensors", "-c", "teacher.yaml", "--tokenizer", "import/tokenizer", "--out",
        "import/again")
    check(Path("import/again/model.h5").read_bytes() == Path("import/teacher/model.h5").read_bytes(),
          "the second import is another file")


def overflow():
    """Finite weights with which the network computes infinity: a head of 3e38 (in float32 and in bfloat16)."""
    data = bytearray(Path("published/teacher/model.safetensors").read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    first, end = json.loads(data[8:start])["head.weight"]["data_offsets"]
    data[start + first:start + end] = b"\x61\x7f" * ((end - first) // 2)
    Path("overflow.safetensors").write_bytes(data)
    run("import", "overflow.safetensors", "-c", "teacher.yaml", "--tokenizer", "import/tokenizer", "--out", "import/overflow")
    model = ["-c", "import/overflow/model.yaml", *RTN, *DATA]
    for expected, arguments in (("cross_entropy", ["eval", "import/overflow"]),
                                ("logits of sample 0 at scale 0", ["sample", "import/overflow", "--out", "overflow.png"]),
                                ("validation at step 0", ["ptq", *model, "run.name=overflow"]),
                                ("in full precision", ["ptq", *model, "run.name=overflow-mixed", "--budget-bits", 4, "quant.calibration.samples=16"])):
        message = run(*arguments, code=3)
        check(expected in message, f"{arguments}: {message}")
    check(not Path("overflow.png").exists(), "a picture of nothing")
    for name in ("overflow", "overflow-mixed"):
        check(not Path(f"runs/{name}/finished").exists(), f"{name} counts as finished")


def words_as_folders():
    """A folder called like a key word of model.init is a folder all the same."""
    for word in ("teacher", "random"):
        run("import", "published/tokenizer/model.safetensors", "-c", "tokenizer.yaml", "--out", word)
        check(f"init: {word}/model.h5" in Path(word, "model.yaml").read_text(), f"{word} is a key word in model.yaml")


def refused(expected, *arguments):
    message = run(*arguments, code=2)
    line = message[message.find("error:"):]
    check(line.startswith("error:") and "[" in line and ";" in line and expected in line, f"{arguments}: {message}")


def quantised_already():
    """Files of others that hold codes: each command names the one that reads them, and what that makes is read."""
    run("ptq", "-c", "import/teacher/model.yaml", "run.name=blocks", "quant.method=rtn", *W4, "quant.weights.group_size=32")
    for name in ("compressed-tensors", "gptq", "gguf"):
        out = f"others/{name}"
        run("export", "runs/blocks", "--out", out, "--format", name)
        for command in (["eval", out], ["sample", out, "--out", "x.png"]):
            refused(f"{out}: holds a model in {name}", *command)
            refused(f"bitlaw convert {out} --to native --out DIR", *command)
        file = out + ("/model.gguf" if name == "gguf" else "/model.safetensors")
        source = file if name == "gguf" else out
        refused(f"bitlaw convert {source} --to native --out DIR", "import", file, "-c", "teacher.yaml", "--tokenizer",
                "import/tokenizer", "--out", "x")
        run("convert", source, "--to", "native", "--out", f"back/{name}")
        ours, theirs = read("inspect", "runs/blocks"), read("inspect", out)
        check(read("inspect", f"back/{name}")["parameter_hash"] == ours["parameter_hash"], f"{name}: another model came back")
        check(theirs["kind"] == name and theirs["run"] == "blocks" and theirs["parameter_hash"] == ours["parameter_hash"] and
              theirs["quantised_weights"] == ours["quantised_weights"], f"inspect of {name}: {theirs}")
    refused("is quantised already (it holds blocks.0.ada_lin.1.qweight)", "import", "others/gptq/model.safetensors", "-c",
            "teacher.yaml", "--tokenizer", "import/tokenizer", "--out", "x")


def order_of_lines():
    """Through one pipe, what a command said comes before why it ended."""
    for command in (["export", "runs/hqq", "--format", "gguf", "--out", "x"], ["convert", "export/hqq", "--to", "awq", "--out", "x/y"]):
        done = subprocess.run(program.command(*command), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=120)
        lines = done.stdout.splitlines()
        check(done.returncode == 2 and "has no exact form" in lines[-1], f"{command}: {done.stdout}")
        check(command[0] != "export" or "weights of step" in lines[0], f"the error came first: {done.stdout}")


def changed_origin():
    """What a file of others says of its model is checked before it is sealed in a native one."""
    run("convert", "import/teacher", "--to", "compressed-tensors", "--out", "changed")
    file = Path("changed/model.safetensors")
    original = file.read_bytes()
    for number, what in ((b"-5", "is -5"), (b"99", "is 99, class_emb.weight is a table of 4")):
        size = int.from_bytes(original[:8], "little")
        header = original[8:8 + size].replace(b'\\"num_classes\\":4', b'\\"num_classes\\":' + number)
        check(header != original[8:8 + size], "the header does not say how many classes there are")
        file.write_bytes(len(header).to_bytes(8, "little") + header + original[8 + size:])
        refused(f"num_classes in the attribute source {what}", "convert", "changed", "--to", "native", "--out", "x")


def break_it():
    weights = "published/tokenizer/model.safetensors"
    refused("--model is missing", "import", weights, "--out", "x")
    refused("no published model 'var-d99'", "import", weights, "--model", "var-d99", "--out", "x")
    refused("is there already", "import", weights, "-c", "tokenizer.yaml", "--out", "import/tokenizer")
    refused("missing: decoder.mid.block_1.conv1.bias", "import", weights, "--model", "var-vq", "--out", "x")
    refused("no tensors in ema", "import", weights, "-c", "tokenizer.yaml", "--section", "ema", "--out", "x")
    refused("--tokenizer is missing", "import", "published/teacher/model.safetensors", "-c", "teacher.yaml",
            "tokenizer.from=''", "--out", "x")
    for option, reason in (("quant.method=gptq", "gptq measures the inputs of layers on its samples"),
                           ("quant.method=block_ap", "block_ap trains each block on its samples"),
                           ("quant.activations={num_bits: 8, dynamic: false}", "static scales of inputs are observed on its samples")):
        refused(reason, "ptq", "-c", "import/teacher/model.yaml", "run.name=x", "quant.method=rtn", option, *W4)
    for source in ("runs/rtn", "export/rtn"):  # without data as with it
        for data in ([], DATA):
            refused("is quantised otherwise than quant says", "ptq", "-c", "import/teacher/model.yaml", "run.name=x",
                    f"model.init={source}", "quant.method=rtn", *W4, "quant.weights.num_bits=2", *data)
    Path("hqq/two-ranks/checkpoints/step-00000000/rank-00001-of-00002.h5").unlink()
    refused("step-00000000", "ptq", "-c", "import/teacher/model.yaml", "run.name=two-ranks", "run.dir=hqq", *HQQ)
    refused("tensors of import/teacher/model.h5 do not fit", "ptq", "-c", "import/teacher/model.yaml", "run.name=x", "quant.method=rtn",
            "model.depth=2", *W4)
    refused("is an export already", "export", "import/teacher", "--out", "x")
    refused("quant.method: rtn with model.family: vq", "ptq", "-c", "import/tokenizer/model.yaml", "run.name=x",
            "quant.method=rtn", *W4)
    check(not Path("x").exists() and not Path("runs/x").exists(), "a refused command left something behind")


with tempfile.TemporaryDirectory(prefix="bitlaw-imported-") as folder:
    os.chdir(folder)
    make_originals()
    import_both()
    use_as_they_are()
    quantise()
    train_on()
    there_and_back()
    quantised_already()
    order_of_lines()
    overflow()
    words_as_folders()
    changed_origin()
    break_it()
    os.chdir("/")
