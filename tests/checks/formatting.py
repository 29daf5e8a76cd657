#!/usr/bin/python3
"""clang-format over all C++ files: exit code 1 and the names of those that differ from .clang-format.

  formatting.py SOURCE_DIR CLANG_FORMAT       --fix as third argument rewrites them
  formatting.py --self-test CLANG_FORMAT      proves that a badly laid out file is found
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tracked_files import tracked_files

SUFFIXES = {".h", ".cpp", ".cu"}


def badly_formatted(root, tool):
    files = [path for path in tracked_files(root) if path.suffix in SUFFIXES]
    bad = []
    for path in files:
        wanted = subprocess.run([tool, "--style=file", str(path)], capture_output=True, check=True).stdout
        if wanted != path.read_bytes():
            bad.append(path)
    return files, bad


def self_test(tool):
    style = pathlib.Path(__file__).resolve().parents[2] / ".clang-format"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(style, folder)
        root = pathlib.Path(folder)
        (root / "good.cpp").write_text("int main() {\n  return 0;\n}\n")
        (root / "bad.cpp").write_text("int  main( ){return 0;}\n")
        if [path.name for path in badly_formatted(root, tool)[1]] != ["bad.cpp"]:
            sys.exit("self-test: bad.cpp was not found")
    print("self-test: the badly laid out file was found")


def main(arguments):
    if arguments[0] == "--self-test":
        return self_test(arguments[1])
    files, bad = badly_formatted(arguments[0], arguments[1])
    if arguments[2:] == ["--fix"]:
        for path in bad:
            subprocess.run([arguments[1], "--style=file", "-i", str(path)], check=True)
        return print(f"{len(bad)} of {len(files)} files rewritten")
    for path in bad:
        print(f"{path}: differs from .clang-format; run clang-format -i on it")
    print(f"{len(files)} files, {len(bad)} badly formatted")
    sys.exit(1 if bad or not files else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
