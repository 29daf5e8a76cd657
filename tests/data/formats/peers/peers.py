"""Compares bitlaw's files with what the packages safetensors and gguf read, and the other way round.

  peers.py FORMATS_PEER     the program of formats_peer.cpp; exit code 1 and a message at the first difference
"""
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import gguf
import numpy
import safetensors


def counted(name, size):
    return bytes((37 * i + len(name)) & 255 for i in range(size))


def require(holds, message):
    if not holds:
        sys.exit(f"error: {message}")


def check_ours_safetensors(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    require(json.loads(raw[8:8 + size])["__metadata__"] == {"format": "pt", "note": 'a "quoted" ä'}, "metadata differ")
    tensors = safetensors.deserialize(raw)
    for name, tensor in tensors:
        dtype, first = name.split("/")
        require(tensor["shape"] == {"2": [2, 8], "0": [0, 3], "8": [8]}[first], f"{name}: shape {tensor['shape']}")
        require(bytes(tensor["data"]) == counted(name, len(tensor["data"])), f"{name}: other bytes")
    return len(tensors)


def check_ours_gguf(path):
    reader = gguf.GGUFReader(path)
    wanted = {"general.architecture": "var", "general.alignment": 64, "t.bool": True, "t.f64": 0.25, "t.i64": -7,
              "t.words": ["", "ä"], "t.numbers": [1, 65535]}
    for key, value in wanted.items():
        require(reader.fields[key].contents() == value, f"{key} is {reader.fields[key].contents()}")
    for tensor in reader.tensors:
        require(tensor.tensor_type.name == tensor.name, f"{tensor.name}: type {tensor.tensor_type.name}")
        require(tensor.data.tobytes() == counted(tensor.name, tensor.n_bytes), f"{tensor.name}: other bytes")
        block = gguf.GGML_QUANT_SIZES[tensor.tensor_type][0]
        require(list(tensor.shape) == [2 * block, 3], f"{tensor.name}: extents {tensor.shape}")
    return len(reader.tensors)


def check_read(program, path, wanted):
    lines = subprocess.run([program, "read", path], check=True, capture_output=True, text=True).stdout.splitlines()
    found = {line.split(" ")[0]: line for line in lines}
    require(found.keys() == wanted.keys(), f"{path.name}: tensors {found.keys()} instead of {wanted.keys()}")
    for name, (kind, extents, data) in wanted.items():
        line = f"{name} {kind} {''.join(f'{e},' for e in extents)} {data.hex()}"
        require(found[name] == line, f"{path.name}: '{found[name]}' instead of '{line}'")
    return len(wanted)


def write_safetensors(path):
    kinds = {"bool": ("BOOL", 1), "uint8": ("U8", 1), "int8": ("I8", 1), "int16": ("I16", 2), "uint16": ("U16", 2), "float16": ("F16", 2),
             "bfloat16": ("BF16", 2), "int32": ("I32", 4), "uint32": ("U32", 4), "float32": ("F32", 4), "float64": ("F64", 8),
             "int64": ("I64", 8), "uint64": ("U64", 8), "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1),
             "float8_e8m0fnu": ("F8_E8M0", 1), "complex64": ("C64", 8)}
    wanted, tensors, kept = {}, {}, []
    for dtype, (kind, width) in kinds.items():
        for shape in ([], [3, 2], [0]):
            name = f"{dtype}{len(shape)}{shape[0] if shape else ''}"
            data = counted(name, width * math.prod(shape))
            wanted[name] = (kind, shape, data)
            kept.append(numpy.frombuffer(data, numpy.uint8))  # the package takes an address
            tensors[name] = safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=kept[-1].ctypes.data, data_len=len(data))
    safetensors.serialize_file(tensors, path, {"format": "pt"})
    return wanted


def write_gguf(path):
    writer = gguf.GGUFWriter(path, "var")
    wanted = {}
    for kind in gguf.GGMLQuantizationType:
        if kind.name == "Q8_1":  # a block of which the package has another size
            continue
        block, size = gguf.GGML_QUANT_SIZES[kind]
        data = counted(kind.name, 6 * size)
        wanted[kind.name] = (kind.name, [2 * block, 3], data)
        writer.add_tensor(kind.name, numpy.frombuffer(data, numpy.uint8).reshape(3, 2 * size), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return wanted


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([program, "write", folder], check=True)
        print(f"safetensors reads ours: {check_ours_safetensors(folder / 'ours.safetensors')} tensors")
        print(f"gguf reads ours: {check_ours_gguf(folder / 'ours.gguf')} tensors")
        wanted = write_safetensors(folder / "theirs.safetensors")
        print(f"we read theirs: {check_read(program, folder / 'theirs.safetensors', wanted)} tensors of safetensors")
        wanted = write_gguf(folder / "theirs.gguf")
        print(f"we read theirs: {check_read(program, folder / 'theirs.gguf', wanted)} tensors of gguf")


if __name__ == "__main__":
    main(sys.argv[1])
