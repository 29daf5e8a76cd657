#!/usr/bin/env bash
# Installs what bitlaw needs on Debian 12: packages from launch/debian-packages.txt and LibTorch under .deps/.
# Idempotent; says what it installs. Exit code 2: something that only an administrator can do is missing.
#   BITLAW_LIBTORCH=DIR   use that LibTorch (DIR/include, DIR/lib) instead of fetching one
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version=2.15.0
cuda_version=13.2

missing_packages() {
  grep -v '^#' launch/debian-packages.txt | while read -r package; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

install_packages() {
  local missing
  missing=$(missing_packages | tr '\n' ' ')
  if [ -z "$missing" ]; then
    echo "setup: all Debian packages are there"
    return
  fi
  local line="apt-get install -y --no-install-recommends $missing"
  if [ "$(id -u)" -ne 0 ]; then
    echo "error: Debian packages are missing: $missing[bitlaw is built with them, and installing needs root]; ask an administrator to run: $line" >&2
    exit 2
  fi
  echo "setup: installing Debian packages: $missing"
  apt-get update -q >/dev/null
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null
}

install_libtorch() {
  if [ -n "${BITLAW_LIBTORCH:-}" ]; then
    if [ ! -e "$BITLAW_LIBTORCH/lib/libtorch_cpu.so" ]; then
      echo "error: BITLAW_LIBTORCH=$BITLAW_LIBTORCH holds no lib/libtorch_cpu.so [tensors come from it]; name the folder that holds include/ and lib/" >&2
      exit 2
    fi
    echo "setup: LibTorch of the user in $BITLAW_LIBTORCH"
    return
  fi
  local mark=.deps/libtorch/.bitlaw-$torch_version
  if [ -e "$mark" ]; then
    echo "setup: LibTorch $torch_version is there"
    return
  fi
  echo "setup: fetching LibTorch $torch_version into .deps/libtorch (1.3 GB)"
  rm -rf .deps/libtorch .deps/libtorch.tmp
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .deps/libtorch.tmp \
    --no-deps "torch==$torch_version" "nvidia-cuda-runtime==$cuda_version.*" "nvidia-cuda-cupti==$cuda_version.*"
  mv .deps/libtorch.tmp .deps/libtorch
  touch "$mark"
}

install_packages
install_libtorch
echo "setup: done"
