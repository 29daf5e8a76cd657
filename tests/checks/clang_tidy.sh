#!/usr/bin/env bash
# clang-tidy over the files that need no LibTorch (the others take a minute each): .clang-tidy says what is looked for.
#   clang_tidy.sh BUILD_DIR     a folder of preset asan-torch-free: its compile_commands.json lists just those files
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
tidy=$(command -v clang-tidy-14) || { echo "error: clang-tidy-14 is missing [it is part of the check]; run launch/setup.sh" >&2; exit 2; }

files=$(/usr/bin/python3 - "$build" <<'PYTHON'
import json, os, sys
root = os.getcwd()
for entry in json.load(open(f"{sys.argv[1]}/compile_commands.json")):
    name = os.path.relpath(entry["file"], root)
    if name.split("/")[0] in ("data", "quant", "distill", "trainer", "launch"):
        print(name)
PYTHON
)
[ -n "$files" ] || { echo "error: $build lists no files of ours" >&2; exit 1; }
# Warnings of the compiler are the compiler's business; flags that only GCC knows are not clang's.
echo "$files" | xargs -P "$(nproc)" -n 1 "$tidy" -p "$build" --quiet --extra-arg=-Wno-everything \
  2> >(grep -v 'warnings generated' >&2 || true)
echo "clang-tidy: $(echo "$files" | wc -l) files are clean"
