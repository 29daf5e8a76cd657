#!/usr/bin/env bash
# clang-tidy over the files that need no LibTorch (the others take a minute each): .clang-tidy says what is looked for.
#   clang_tidy.sh BUILD_DIR     a folder of preset asan-torch-free: its compile_commands.json lists just those files,
#                               most of them joined by fives
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
tidy=$(command -v clang-tidy-14) || { echo "error: clang-tidy-14 is missing [it is part of the check]; run launch/setup.sh" >&2; exit 2; }

files=$(/usr/bin/python3 - "$build" <<'PYTHON'
import json, os, sys
folders = ("data", "quant", "distill", "trainer", "launch")
build = os.path.abspath(sys.argv[1])
for entry in json.load(open(f"{build}/compile_commands.json")):
    places = [os.path.relpath(entry["file"], root).split("/")[0] for root in (os.getcwd(), build)]
    if any(place in folders for place in places):
        print(entry["file"])
PYTHON
)
[ -n "$files" ] || { echo "error: $build lists no files of ours" >&2; exit 1; }
# Warnings of the compiler are the compiler's business; flags that only GCC knows are not clang's. Joined files are
# included by name, and the analyser looks at included files when it is told to.
echo "$files" | xargs -P "$(nproc)" -n 1 "$tidy" -p "$build" --quiet --extra-arg=-Wno-everything \
  --checks=-bugprone-suspicious-include --extra-arg=-Xclang --extra-arg=-analyzer-opt-analyze-headers \
  2> >(grep -v 'warnings generated' >&2 || true)
echo "clang-tidy: $(echo "$files" | wc -l) translation units are clean"
