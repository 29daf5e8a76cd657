#!/usr/bin/env bash
# From nothing to verified low-bit models on real images: set-up, build, Fashion-MNIST, tokenizer, teacher,
# students of 3 and 2 bits, packed exports, figures, pictures. Run it again to go on where it stopped; what is
# done is not done again.
#
#   launch/quickstart.sh [--dir DIR] [--ranks N] [--no-build]
#     --dir DIR    where shards/ and runs/ go (default: the working directory)
#     --ranks N    processes of each training (default 2)
#     --no-build   use build/release as it is
#
# Exit code 2: something is missing that only you can provide; else that of the stage that failed (75: it was
# stopped after saving).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
configs=$repo/configs/fashion
bitlaw=$repo/build/release/launch/bitlaw
images=/usr/share/datasets/fashion-mnist
dir=$PWD
ranks=2
build=yes

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --dir) dir=${2:?"--dir needs a folder"}; shift 2 ;;
      --ranks) ranks=${2:?"--ranks needs a number"}; shift 2 ;;
      --no-build) build=no; shift ;;
      -h | --help) usage; exit 0 ;;
      *) echo "error: unknown option $1 [it would be ignored]; see $0 --help" >&2; exit 2 ;;
    esac
  done
}

prepare_environment() {
  export OMP_NUM_THREADS=1  # a rank a core
  # Any machine, also a container with fewer cores than ranks, and root.
  export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
  if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
}

on_ranks() {
  mpirun -np "$ranks" "$@"
}

# stage NAME COMMAND...: runs the command, says how long it took, and stops the script when it fails.
stage() {
  local name=$1 start=$SECONDS code
  shift
  echo "== $name"
  # Not "$@ || code=...": that would let a function go on after a command of its own has failed.
  set +e
  (
    set -e
    "$@"
  )
  code=$?
  set -e
  if [ "$code" -eq 75 ]; then
    echo "quickstart: $name was stopped after saving; run the same command again to go on" >&2
    exit 75
  elif [ "$code" -ne 0 ]; then
    echo "error: $name failed with code $code [the stages after it need it]; see the message above, then run the same command again" >&2
    exit "$code"
  fi
  echo "== $name: $((SECONDS - start)) s"
}

build_program() {
  (cd "$repo" && launch/setup.sh && cmake --preset release >/dev/null && cmake --build --preset release --target bitlaw)
}

# Packed, proved equal to its run, and evaluated; the results lie beside the run. Nothing is done for a run
# whose results are of its present weights.
measure() {
  local run=runs/$1
  shift
  local result=$run/eval/quickstart.json
  local hash
  hash=$(sed -n 's/.*"parameter_hash":"\([0-9a-f]*\)".*/\1/p' "$run/finished")
  if [ -n "$hash" ] && grep -qs "\"parameter_hash\": *\"$hash\"" "$result"; then
    return
  fi
  "$bitlaw" export "$run" --out "$run/export" "$@"
  "$bitlaw" verify "$run/export/model.h5" --against "$run"
  mkdir -p "$run/eval"
  "$bitlaw" inspect "$run/export/model.h5" --json >"$run/eval/inspect.json"
  on_ranks "$bitlaw" eval "$run/export" --teacher runs/fashion-teacher --teacher-weights ema --json >"$result.tmp"
  mv "$result.tmp" "$result"
}

students() {
  local bits loss
  for bits in 3 2; do
    stage "$bits-bit round to nearest" on_ranks "$bitlaw" ptq -c "$configs/student_w${bits}_rtn.yaml"
    for loss in cross_entropy forward_kl topkld; do
      stage "$bits-bit QAT with $loss" on_ranks "$bitlaw" train -c "$configs/student_w${bits}_$loss.yaml"
    done
  done
}

measure_all() {
  local bits method
  measure fashion-teacher --ema
  for bits in 3 2; do
    for method in rtn cross-entropy forward-kl topkld; do
      measure "fashion-var-w$bits-$method"
    done
  done
}

draw_pictures() {
  "$bitlaw" sample runs/fashion-teacher/export runs/fashion-var-w3-topkld/export \
    runs/fashion-var-w2-topkld/export runs/fashion-var-w2-rtn/export \
    --names teacher "3 bits, TopKLD" "2 bits, TopKLD" "2 bits, round to nearest" \
    --cfg 1.0 --top-k 50 --top-p 0.96 --seed 7 --count 20 --columns 20 --out runs/quickstart/samples.png
}

main() {
  parse_arguments "$@"
  prepare_environment
  if [ $build = yes ]; then
    stage "set-up and build" build_program
  fi
  if [ ! -x "$bitlaw" ]; then
    echo "error: $bitlaw is missing [it does all the work]; run this script without --no-build" >&2
    exit 2
  fi
  if [ ! -d "$images" ]; then
    echo "error: $images is missing [it holds the images]; install the Debian package dataset-fashion-mnist" >&2
    exit 2
  fi
  mkdir -p "$dir"
  cd "$dir"
  local start=$SECONDS
  stage "import of training images" "$bitlaw" data import "$images" --split train --size 32 --out shards/fashion/train
  stage "import of test images" "$bitlaw" data import "$images" --split test --size 32 --out shards/fashion/test
  stage "tokenizer" on_ranks "$bitlaw" train -c "$configs/tokenizer.yaml"
  for split in train test; do
    stage "tokens of $split images" on_ranks "$bitlaw" data tokenize --tokenizer runs/fashion-tokenizer \
      --in "shards/fashion/$split" --out "shards/fashion/$split-tokens"
  done
  stage "teacher" on_ranks "$bitlaw" train -c "$configs/teacher.yaml"
  students
  stage "export, verification and evaluation" measure_all
  mkdir -p runs/quickstart
  stage "pictures" draw_pictures
  echo "== done in $((SECONDS - start)) s"
  echo
  /usr/bin/python3 "$repo/launch/quickstart_table.py" runs | tee runs/quickstart/table.md
  echo
  echo "samples of teacher, students and 2-bit rounding from the same seeds: $PWD/runs/quickstart/samples.png"
}

main "$@"
