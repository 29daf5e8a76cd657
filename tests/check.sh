#!/usr/bin/env bash
# Everything that a change must pass: set-up, sanitizers and clang-tidy over the torch-free parts, release build and all
# fast tests (layout of files, layering and documentation among them). Prints CTest's closing lines last.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}

stage() {
  echo "check: $1 ($SECONDS s)"
}

stage "set-up"
launch/setup.sh
stage "AddressSanitizer and UndefinedBehaviorSanitizer over what needs no LibTorch"
cmake --workflow --preset check-asan
stage "clang-tidy over the same files"
tests/checks/clang_tidy.py build/asan-torch-free
stage "release build and all fast tests"
cmake --workflow --preset check
