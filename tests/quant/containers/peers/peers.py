#!/usr/bin/env python3
"""Other people's readers on bitlaw's files: each must get bitlaw's weights to the bit.

  peers.py WRITE_SAMPLES VENV_DIR              gguf and safetensors from PyPI; GPTQ's and AWQ's arithmetic in numpy
  peers.py WRITE_SAMPLES VENV_DIR --torch      compressed-tensors 0.20 on PyTorch (some gigabytes)
  peers.py WRITE_SAMPLES VENV_DIR --torch-old  compressed-tensors 0.17, the last with the old layout, likewise

VENV_DIR is made when it is not there, with pip's usual settings; BITLAW_PEERS_PYTHON names a Python that has the
packages already. Not part of the tests that always run: it needs a package index.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

NUMPY_PACKAGES = ["numpy", "gguf==0.19.*", "safetensors"]
TORCH_PACKAGES = ["numpy", "torch", "safetensors"]
INSIDE = "BITLAW_PEERS_INSIDE"


def enter_venv(folder, packages):
    """Runs this script again with a Python that has the packages."""
    python = os.environ.get("BITLAW_PEERS_PYTHON")
    if not python:
        python = str(pathlib.Path(folder) / "bin" / "python")
        if not pathlib.Path(python).exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    sys.exit(subprocess.run([python, *sys.argv], env=os.environ | {INSIDE: "1"}).returncode)


class Report:
    def __init__(self):
        self.values = 0
        self.layers = 0
        self.bad = []

    def compare(self, name, found, wanted):
        import numpy as np
        found = np.ascontiguousarray(found, dtype=np.float32).reshape(-1)
        if found.shape != wanted.shape or not np.array_equal(found, wanted):
            self.bad.append(name)
        self.values += wanted.size
        self.layers += 1


def values_of(samples, container):
    import numpy as np
    folder = samples / f"{container}.values"
    return {path.stem: np.fromfile(path, np.float32) for path in sorted(folder.glob("*.f32"))}


def raw_tensors(samples, container):
    """Name -> (dtype, shape, bytes), by the package's own parser."""
    import safetensors
    data = (samples / container / "model.safetensors").read_bytes()
    return {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in safetensors.deserialize(data)}


def array(tensor, dtype):
    import numpy as np
    return np.frombuffer(tensor[2], dtype).reshape(tensor[1])


def bits_along(words, bits, axis):
    """Unsigned numbers of a dense bitstream that runs along an axis of 32-bit words."""
    import numpy as np
    words = np.moveaxis(words, axis, -1)
    stream = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    numbers = stream.reshape(*stream.shape[:-1], -1, bits) @ (1 << np.arange(bits))
    return np.moveaxis(numbers, -1, axis)


def check_gptq(samples, container, report):
    import numpy as np
    config = json.loads((samples / container / "quantize_config.json").read_text())
    tensors = raw_tensors(samples, container)
    first = config["checkpoint_format"] == "gptq"
    for module, wanted in values_of(samples, container).items():
        index = array(tensors[f"{module}.g_idx"], np.int32)
        words = array(tensors[f"{module}.qweight"], np.uint32)
        bits = words.shape[0] * 32 // index.size
        codes = bits_along(words, bits, 0).astype(np.int64)
        zeros = bits_along(array(tensors[f"{module}.qzeros"], np.uint32), bits, 1).astype(np.int64) + first
        scales = array(tensors[f"{module}.scales"], np.float16).astype(np.float32)
        report.compare(f"{container} {module}", ((codes - zeros[index]).astype(np.float32) * scales[index]).T, wanted)


def check_awq(samples, report):
    import numpy as np
    tensors = raw_tensors(samples, "awq")
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def outputs(words):
        nibbles = words[..., None] >> (4 * np.arange(8, dtype=np.uint32)) & 15
        straight = np.empty_like(nibbles)
        straight[..., order] = nibbles
        return straight.reshape(words.shape[0], -1).astype(np.int64)

    for module, wanted in values_of(samples, "awq").items():
        codes = outputs(array(tensors[f"{module}.qweight"], np.uint32))
        scales = array(tensors[f"{module}.scales"], np.float16).astype(np.float32)
        repeat = codes.shape[0] // scales.shape[0]
        zeros = outputs(array(tensors[f"{module}.qzeros"], np.uint32)).repeat(repeat, 0)
        report.compare(f"awq {module}", ((codes - zeros).astype(np.float32) * scales.repeat(repeat, 0)).T, wanted)


def check_gguf(samples, report):
    import gguf
    import numpy as np
    reader = gguf.GGUFReader(samples / "gguf" / "model.gguf")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    for module, wanted in values_of(samples, "gguf").items():
        tensor = tensors[f"{module}.weight"]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if f"{module}.scale" in tensors:
            values = values * np.float32(tensors[f"{module}.scale"].data[0])
        report.compare(f"gguf {module} ({tensor.tensor_type.name})", values, wanted)


def check_compressed(samples, container, report):
    import numpy as np
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from safetensors.torch import load_file
    tensors = load_file(samples / container / "model.safetensors")
    config = json.loads((samples / container / "config.json").read_text())["quantization_config"]
    values = values_of(samples, container)
    for scheme in QuantizationConfig.model_validate(config).config_groups.values():
        compressor = BaseCompressor.get_value_from_registry(scheme.format)
        for module in scheme.targets:
            members = {name[len(module) + 1:]: tensor for name, tensor in tensors.items()
                       if name.startswith(module + ".")}
            weight = compressor.decompress(members, scheme)["weight"]
            wanted = values.pop(module)
            if weight.dtype == torch.bfloat16:  # its readers of the block formats return bfloat16
                wanted = torch.from_numpy(wanted).to(torch.bfloat16).float().numpy()
            report.compare(f"{container} {module} ({scheme.format})", weight.float().numpy(), wanted)
    report.bad += [f"{container} {module}: in no group" for module in values]


# Option -> packages, and what is checked.
SUITES = {
    (): (NUMPY_PACKAGES, ["gptq", "gptq-v2", "awq", "gguf"]),
    ("--torch",): (TORCH_PACKAGES + ["compressed-tensors==0.20.*"], ["compressed-tensors"]),
    ("--torch-old",): (TORCH_PACKAGES + ["compressed-tensors==0.17.*", "psutil"], ["compressed-tensors-0.17"]),
}


def check(samples, container, report):
    if container == "awq":
        check_awq(samples, report)
    elif container == "gguf":
        check_gguf(samples, report)
    elif container.startswith("gptq"):
        check_gptq(samples, container, report)
    else:
        check_compressed(samples, container, report)


def main(program, folder, *options):
    if options not in SUITES:
        sys.exit(__doc__)
    packages, containers = SUITES[options]
    if INSIDE not in os.environ:
        enter_venv(folder, packages)
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        samples = pathlib.Path(name)
        subprocess.run([program, name], check=True)
        for container in containers:
            check(samples, container, report)
    if report.bad or report.layers == 0:
        sys.exit("other values: " + (", ".join(report.bad) or "nothing was compared"))
    print(f"{report.layers} layers, {report.values} weights: equal to the bit")


if __name__ == "__main__":
    main(*sys.argv[1:])
