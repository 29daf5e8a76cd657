#!/usr/bin/python3
"""Runs the numpy reader of docs/formats.md on a packed model and compares every bit with what bitlaw reads.

  docs_formats.py DOCS_FILE SAMPLE_PROGRAM

SAMPLE_PROGRAM DIR writes DIR/model.h5 and, for each weight and tensor, DIR/<kind>.<name>.f32 with its values.
"""
import pathlib
import re
import subprocess
import sys
import tempfile


def reader_of(document):
    blocks = re.findall(r"^```python\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    if len(blocks) != 1 or len(blocks[0].splitlines()) > 30:
        sys.exit("docs/formats.md must hold one block of Python, of at most thirty lines")
    names = {}
    exec(compile(blocks[0], "docs/formats.md", "exec"), names)
    return names


def main(document, program):
    names = reader_of(pathlib.Path(document).read_text())
    numpy, h5py = names["np"], names["h5py"]
    compared = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, folder], check=True)
        with h5py.File(f"{folder}/model.h5", "r") as file:
            read = {f"weight.{name}": names["weight"](file, name) for name in file["weights"]}
            read |= {f"tensor.{name}": names["floats"](file["tensors"][name]) for name in file["tensors"]}
        for path in sorted(pathlib.Path(folder).glob("*.f32")):
            wanted = numpy.fromfile(path, numpy.uint32)
            found = read.pop(path.stem)
            if found.dtype != numpy.float32 or not numpy.array_equal(found.reshape(-1).view(numpy.uint32), wanted):
                sys.exit(f"{path.stem}: the reader of docs/formats.md gives other values")
            compared += wanted.size
    if read or compared == 0:
        sys.exit(f"nothing to compare with: {sorted(read) or 'no files'}")
    print(f"{compared} values equal to the bit")


if __name__ == "__main__":
    main(*sys.argv[1:])
