#!/usr/bin/env bash
# Builds everything, LibTorch users included, with AddressSanitizer + UndefinedBehaviorSanitizer, and the parts that
# need no LibTorch with ThreadSanitizer (to which the locks inside LibTorch and OpenMPI, not built with it, are
# invisible), and runs the fast tests under both. Takes about an hour on two cores: not part of tests/check.sh.
#   sanitizers.sh [asan] [tsan]     both without an argument
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
# Leaks are looked for where there is no MPI: OpenMPI's plug-ins keep memory, and are gone when the list is made.
export ASAN_OPTIONS=detect_odr_violation=0
export LSAN_OPTIONS=suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1

run() {
  cmake --preset "$1"
  cmake --build --preset "$1"
  ctest --test-dir "build/$1" --output-on-failure --label-exclude 'slow|gpu|check|mpi'
  ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 \
    ctest --test-dir "build/$1" --output-on-failure --label-regex mpi --label-exclude 'slow|gpu'
}

for preset in "${@:-asan tsan}"; do
  for one in $preset; do
    echo "sanitizers: $one"
    run "$one"
  done
done
