#!/usr/bin/env bash
# Two ranks with one thread each against two independent one-rank processes side by side: seven alternating pairs,
# the median of the ratios. Arguments: the scaling_bench program, steps (default 60), warm-up (default 10).
set -euo pipefail
program=$1
steps=${2:-60}
warmup=${3:-10}
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

folder() { mktemp -d "$work/run-XXXXXX"; }

together() { mpirun --bind-to core -np 2 "$program" "$(folder)" "$steps" "$warmup"; }

apart() {
  taskset -c 0 "$program" "$(folder)" "$steps" "$warmup" > "$work/a" &
  local first=$!
  taskset -c 1 "$program" "$(folder)" "$steps" "$warmup" > "$work/b"
  wait "$first"
  awk '{sum += $1} END {printf "%.1f\n", sum}' "$work/a" "$work/b"
}

echo "pair  two ranks  two processes  ratio (tokens/s)"
for pair in 1 2 3 4 5 6 7; do
  if [ $((pair % 2)) = 1 ]; then
    ranks=$(together)
    processes=$(apart)
  else
    processes=$(apart)
    ranks=$(together)
  fi
  awk -v p="$pair" -v r="$ranks" -v s="$processes" 'BEGIN {printf "%4d  %9.1f  %13.1f  %.4f\n", p, r, s, r / s}'
done | tee "$work/table"
awk '{print $4}' "$work/table" | sort -n | awk '{v[NR] = $1} END {print "median ratio", v[(NR + 1) / 2]}'
