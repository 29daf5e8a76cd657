#!/usr/bin/env bash
# Builds everything, LibTorch users included, with AddressSanitizer + UndefinedBehaviorSanitizer and with
# ThreadSanitizer, and runs the fast tests under both. Takes an hour or two on two cores: not part of tests/check.sh.
#   sanitizers.sh [asan] [tsan]     both without an argument
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
support=$PWD/tests/support
# MPI and the Python-less parts of LibTorch keep memory until the process ends; what ours leaks is reported.
export ASAN_OPTIONS=detect_odr_violation=0
export LSAN_OPTIONS=suppressions=$support/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1
# LibTorch, OpenMP and MPI are not instrumented: only what our code does with memory is judged.
export TSAN_OPTIONS=suppressions=$support/tsan.supp:ignore_noninstrumented_modules=1

run() {
  cmake --preset "$1"
  cmake --build --preset "$1"
  ctest --test-dir "build/$1" --output-on-failure --label-exclude 'slow|gpu|check'
}

for preset in "${@:-asan tsan}"; do
  for one in $preset; do
    echo "sanitizers: $one"
    run "$one"
  done
done
