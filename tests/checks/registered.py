#!/usr/bin/python3
"""Every *_test.cpp of the repository is a source of some test: exit code 1 and the names of those that are not.

  registered.py SOURCE_DIR
  registered.py --self-test       proves that a forgotten file is found
"""
import pathlib
import sys
import tempfile

from tracked_files import tracked_files


def forgotten(root):
    files = tracked_files(root)
    lists = {path.parent: path.read_text() for path in files if path.name == "CMakeLists.txt"}

    def is_named(path):
        return any(str(path.relative_to(folder)) in text.replace(")", " ").split() for folder, text in lists.items() if folder in path.parents)

    return [path for path in files if path.name.endswith("_test.cpp") and not is_named(path)]


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "parts").mkdir()
        for name in ("a_test.cpp", "parts/b_test.cpp", "parts/lost_test.cpp"):
            (root / name).write_text("")
        (root / "CMakeLists.txt").write_text("test(all SOURCES a_test.cpp parts/b_test.cpp LINK c)\n")
        if [path.name for path in forgotten(root)] != ["lost_test.cpp"]:
            sys.exit("self-test: lost_test.cpp was not found")
    print("self-test: the forgotten file was found")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    lost = forgotten(pathlib.Path(arguments[0]))
    for path in lost:
        print(f"{path}: no CMakeLists.txt names it, so it is never built or run")
    return sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
