#!/usr/bin/env bash
# Fuzzes the readers of other people's files, each for so long, under AddressSanitizer and UndefinedBehaviorSanitizer.
#   run.sh SECONDS [NAME...]     gguf, safetensors, ...; all without a name
# With clang 14 libFuzzer does it (build/fuzz); without, the small fuzzer of fuzz_main.cpp (build/asan-torch-free). What libFuzzer
# learned stays in build/fuzz/grown and serves the next run; finds lie in build/fuzz/finds. Exit code 1: a find.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=$1
shift
if command -v clang++-14 >/dev/null && ls /usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1; then
  preset=fuzz
else
  preset=asan-torch-free
  echo "fuzz: clang-14 with libclang-rt-14-dev is not there, so the small fuzzer runs"
fi
cmake --preset "$preset" >/dev/null
lists=build/$preset/tests/fuzz
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  mapfile -t names < <(cd "$lists" && ls ./*.corpus | sed 's|^\./||; s|\.corpus$||')
fi
cmake --build "build/$preset" --target "${names[@]/%/_fuzz}"

failed=()
for name in "${names[@]}"; do
  echo "fuzz: $name for $seconds s"
  mapfile -t corpus < "$lists/$name.corpus"
  program=$lists/${name}_fuzz
  if [ "$preset" = fuzz ]; then
    seeds=build/fuzz/seeds/$name
    mkdir -p "$seeds" "build/fuzz/grown/$name" build/fuzz/finds
    for place in "${corpus[@]}"; do
      cp -r "$place" "$seeds/"
    done
    "$program" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
      -artifact_prefix="build/fuzz/finds/$name-" "build/fuzz/grown/$name" "$seeds" || failed+=("$name")
  else
    "$program" "$seconds" "${corpus[@]}" || failed+=("$name")
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "fuzz: finds in ${failed[*]}"
  exit 1
fi
echo "fuzz: no find"
