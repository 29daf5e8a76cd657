#!/usr/bin/python3
"""Makes the corpus beside it: what the files of tests/data/formats/files do not show. Needs nothing but Python.

  make_corpus.py [FOLDER]     the folder `corpus` of this script without argument

gguf, safetensors: small files with every feature of the format. torch_pickle: the data.pkl of the torch files, and
pickles with every opcode that the reader knows.
"""
import json
import pathlib
import pickle
import struct
import sys
import zipfile

FILES = pathlib.Path(__file__).resolve().parent.parent / "data" / "formats" / "files"


def safetensors(tensors, metadata=None, padding=b""):
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, bytes_) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode() + padding
    return struct.pack("<Q", len(text)) + text + data


def text(value):
    return struct.pack("<Q", len(value)) + value


def gguf(values, tensors, alignment=32):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    head += b"".join(text(key) + struct.pack("<I", kind) + value for key, (kind, value) in values.items())
    data = b""
    for name, (kind, dims, bytes_) in tensors.items():
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += bytes_ + bytes(-len(bytes_) % alignment)
    return head + bytes(-len(head) % alignment) + data


def array(kind, count, elements):
    return 9, struct.pack("<IQ", kind, count) + elements


def safetensors_files():
    yield "empty", safetensors({})
    yield "scalar", safetensors({"s": ("F64", [], bytes(8))})
    yield "narrow", safetensors({"f4": ("F4", [2, 2], bytes(2)), "f6": ("F6_E2M3", [4], bytes(3)), "e8": ("F8_E8M0", [3], bytes(3))})
    yield "metadata", safetensors({"a/b.c": ("BF16", [1, 0, 2], b""), "z": ("BOOL", [1], b"\1")}, {"k": "v", "": "\u0416\n"}, b"   ")
    yield "overlap", safetensors({"a": ("U8", [4], bytes(4))}).replace(b"[0, 4]", b"[0, 9]")


def gguf_files():
    yield "empty", gguf({}, {})
    numbers = {f"n{kind}".encode(): (kind, struct.pack("<" + code, 1))
               for kind, code in enumerate("BbHhIif?") } | {b"n10": (10, struct.pack("<Q", 1)), b"n11": (11, struct.pack("<q", -1)),
                                                            b"n12": (12, struct.pack("<d", 0.5)), b"n8": (8, text(b"word"))}
    yield "numbers", gguf(numbers, {})
    inner = struct.pack("<IQ", 8, 2) + text(b"a") + text(b"")
    yield "arrays", gguf({b"a": array(0, 3, b"abc"), b"b": array(7, 2, b"\0\1"), b"c": array(9, 2, inner + inner), b"d": array(12, 0, b"")}, {})
    yield "tensors", gguf({b"general.alignment": (4, struct.pack("<I", 8))},
                          {b"w": (2, [32, 2], bytes(36)), b"k": (12, [256], bytes(144)), b"f": (0, [3, 1, 2, 1], bytes(24)),
                           b"e": (30, [0], b"")}, 8)


def torch_pickles():
    for path in sorted(FILES.glob("*.pth")):
        if zipfile.is_zipfile(path) and path.stem != "without_crc":  # which zipfile does not read
            with zipfile.ZipFile(path) as archive:
                yield path.stem, archive.read(f"{path.stem}/data.pkl")
    for protocol in (2, 3, 4, 5):
        value = {"a": [1, -1, 70000, 2**40, 2**80, 1.5, None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], 7: {8: {}}}
        value["self"] = [value["a"], value["a"]]
        yield f"plain{protocol}", pickle.dumps(value, protocol=protocol)


def main(folder):
    for kind, files in (("safetensors", safetensors_files()), ("gguf", gguf_files()), ("torch_pickle", torch_pickles())):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, bytes_ in files:
            (folder / kind / name).write_bytes(bytes_)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent / "corpus")
