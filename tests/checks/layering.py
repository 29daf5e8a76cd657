#!/usr/bin/python3
"""Reads the includes of every file and enforces docs/architecture.md.

  layering.py SOURCE_DIR       exit code 1 and one line for each violation
  layering.py --self-test      proves that each rule can fail

Rules: a folder includes only itself and what stands to its left (quant: of data only data/formats); each third-party
library stays behind its folder; files that CMake lists as TORCH_FREE reach no LibTorch header, not even through ours;
every .cpp file includes its own header first.
"""
import pathlib
import re
import sys
import tempfile

ORDER = ["data", "quant", "distill", "trainer", "launch"]
SUFFIXES = {".h", ".cpp", ".cu"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
TORCH = re.compile(r"^(torch|ATen|c10)/")

# Header pattern -> where it may be included (prefixes of paths).
OWNERS = [
    (r"^hdf5|^H5", ["data/formats/hdf5/"]),
    (r"^nlohmann/", ["data/formats/", "trainer/", "launch/"]),
    (r"^(zlib|png|jpeglib|turbojpeg)\.h$|^stb", ["data/import/", "launch/picture.cpp"]),
    (r"^mpi\.h$|^nccl\.h$|^cuda_runtime", ["trainer/comm/"]),
    (r"^yaml-cpp/", ["trainer/config/"]),
    (r"^spdlog/", ["trainer/"]),
    (r"^CLI/|^ceres/", ["launch/"]),
    (r"^hwy/|^(x86|imm|emm|arm_n)\w*\.h$", ["quant/kernels/", "distill/losses/kernels/", "distill/kernels/"]),
    (r"^omp\.h$", []),
    (r"^torch/torch\.h$", []),
]


def sources(root):
    for folder in ORDER:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                yield path.relative_to(root).as_posix()


def includes_of(root, name):
    return INCLUDE.findall((root / name).read_text())


def may_include(source, target):
    ours, theirs = source.split("/")[0], target.split("/")[0]
    if ours == "quant" and theirs == "data":
        return target.startswith("data/formats/")
    return ORDER.index(theirs) <= ORDER.index(ours)


def check_direction(root, name):
    for kind, target in includes_of(root, name):
        first = target.split("/")[0]
        if kind == "<":
            if first in ORDER and "/" in target:
                yield f"{name}: includes <{target}>; ours are included with quotes"
        elif first not in ORDER or "/" not in target:
            yield f'{name}: includes "{target}"; ours are included from the root'
        elif not may_include(name, target):
            yield f"{name}: includes {target}, against the direction {' <- '.join(ORDER)}"


def check_owners(root, name):
    for kind, target in includes_of(root, name):
        for pattern, homes in OWNERS:
            if kind == "<" and re.search(pattern, target) and not name.startswith(tuple(homes)):
                yield f"{name}: includes <{target}>, which belongs to {', '.join(homes) or 'nobody'}"


def check_own_header(root, name):
    path = pathlib.PurePosixPath(name)
    own = path.with_suffix(".h").as_posix()
    found = includes_of(root, name)
    if path.suffix != ".h" and (root / own).exists() and (not found or found[0][1] != own):
        yield f"{name}: does not include its own header first"


def torch_free_files(root):
    for folder in ORDER:
        text = re.sub(r"#.*", "", (root / folder / "CMakeLists.txt").read_text())
        values = {}  # of CMake's variables, whichever branch sets them
        for name, value in re.findall(r"\bset\(\s*(\w+)\s+([^()]*)\)", text):
            values[name] = values.get(name, []) + value.split()
        for listed in re.findall(r"\bTORCH_FREE\b([^()]*?)(?:\bTORCH\b|\bLINK\b|\))", text):
            for word in listed.split():
                variable = re.fullmatch(r"\$\{(\w+)\}", word)
                for file in values.get(variable.group(1), []) if variable else [word]:
                    yield f"{folder}/{file}"


def check_torch_free(root, name):
    if not (root / name).exists():
        yield f"{name}: is listed as TORCH_FREE but is not there"
        return
    seen, waiting = {name}, [(name, name)]
    while waiting:
        file, trail = waiting.pop()
        for kind, target in includes_of(root, file):
            if TORCH.match(target):
                yield f"{name}: is listed as TORCH_FREE but reaches <{target}> ({trail})"
            elif kind == '"' and target not in seen and (root / target).exists():
                seen.add(target)
                waiting.append((target, f"{trail} -> {target}"))


def violations(root):
    for name in sources(root):
        yield from check_direction(root, name)
        yield from check_owners(root, name)
        yield from check_own_header(root, name)
    for name in torch_free_files(root):
        yield from check_torch_free(root, name)


def self_test():
    good = {f"{folder}/CMakeLists.txt": f"bitlaw_library({folder}\n  TORCH_FREE\n  TORCH\n  LINK x)" for folder in ORDER}
    good["data/CMakeLists.txt"] = "bitlaw_library(data\n  TORCH_FREE\n    a.cpp\n  TORCH\n    t.cpp\n  LINK x)"
    good |= {"data/a.cpp": '#include "data/a.h"\n#include <vector>\n', "data/a.h": '#include "data/formats/f.h"\n',
             "data/formats/f.h": "", "data/t.cpp": '#include "data/t.h"\n', "data/t.h": "#include <ATen/ATen.h>\n",
             "data/formats/hdf5/h.h": "#include <hdf5.h>\n", "quant/q.cpp": '#include "data/formats/f.h"\n',
             "trainer/m.cpp": '#include "data/a.h"\n#include <spdlog/logger.h>\n'}
    bad = [
        ({"data/b.h": '#include "quant/q.h"\n', "quant/q.h": ""}, "against the direction"),
        ({"quant/b.h": '#include "data/a.h"\n'}, "against the direction"),
        ({"distill/b.cpp": '#include "trainer/t.h"\n', "trainer/t.h": ""}, "against the direction"),
        ({"data/b.h": '#include "a.h"\n'}, "from the root"),
        ({"data/b.h": "#include <data/a.h>\n"}, "with quotes"),
        ({"data/b.h": "#include <hdf5.h>\n"}, "belongs to data/formats/hdf5/"),
        ({"quant/b.h": "#include <nlohmann/json.hpp>\n"}, "belongs to data/formats/"),
        ({"trainer/b.h": "#  include <mpi.h>\n"}, "belongs to trainer/comm/"),
        ({"launch/b.h": "#include <yaml-cpp/yaml.h>\n"}, "belongs to trainer/config/"),
        ({"quant/b.h": "#include <immintrin.h>\n"}, "belongs to quant/kernels/"),
        ({"distill/b.h": "#include <torch/torch.h>\n"}, "belongs to nobody"),
        ({"data/a.cpp": '#include <vector>\n#include "data/a.h"\n'}, "own header first"),
        ({"data/formats/f.h": "#include <c10/util/Half.h>\n"}, "TORCH_FREE"),
        ({"data/a.h": '#include "data/t.h"\n'}, "data/a.cpp -> data/a.h -> data/t.h"),
    ]
    bad += [
        ({"data/CMakeLists.txt": "bitlaw_library(data\n  TORCH_FREE\n    gone.cpp\n  LINK x)"}, "gone.cpp: is listed"),
        ({"data/CMakeLists.txt": "set(some t.cpp)\nbitlaw_library(data\n  TORCH_FREE\n    ${some}\n  LINK x)"},
         "data/t.cpp: is listed as TORCH_FREE but reaches <ATen/ATen.h>"),
    ]
    for change, expected in [({}, None)] + bad:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in (good | change).items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            found = list(violations(root))
        if (expected is None) != (not found) or (expected and not any(expected in line for line in found)):
            sys.exit(f"self-test: {change} gave {found}, expected {expected}")
    print(f"self-test: {len(bad)} violations found, none in the good tree")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        lines = list(violations(pathlib.Path(sys.argv[1])))
        print("\n".join(lines) or "every include keeps to the architecture")
        sys.exit(1 if lines else 0)
