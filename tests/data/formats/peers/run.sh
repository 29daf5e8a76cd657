#!/usr/bin/env bash
# Compares our readers and writers with the packages safetensors and gguf, in a virtual environment of its own.
#   run.sh FORMATS_PEER VENV     VENV is made when it is not there; that needs python3-venv and the network
set -euo pipefail
program=$1
venv=$2
if [ ! -e "$venv/ready" ]; then
  /usr/bin/python3 -m venv "$venv" || { echo "error: no virtual environment [the packages are kept out of the system]; install python3-venv" >&2; exit 2; }
  "$venv/bin/pip" install --quiet 'safetensors==0.8.*' 'gguf==0.19.*' numpy
  touch "$venv/ready"
fi
"$venv/bin/python" "$(dirname "$0")/peers.py" "$program"
