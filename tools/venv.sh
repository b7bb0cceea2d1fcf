#!/usr/bin/env bash
# Makes .venv hold what requirements/<demo|dev>.lock says, and this package with its stubs. Does nothing when it
# does already; dev holds all of demo. PYTHON=... chooses the interpreter for a new .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=$1
venv=.venv

die() {
  echo "gpt-server: $*" >&2
  exit 2
}

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13."
    echo "$PYTHON"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11; do
    if supported "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  die "Python 3.11, 3.12 or 3.13 is needed, found $(python3 --version 2>/dev/null || echo none). Install one, or name it: make run PYTHON=/path/to/python3.12"
}

# What an environment depends on: the lock, and what the package and its stubs are made from.
state() { cat "requirements/$1.lock" pyproject.toml tools/build_stubs.py models/demo/compose.py models/demo/heads/*.safetensors $(find protos/gpt_server -name '*.proto' | sort) | sha256sum; }

holds() { [ -f "$venv/.holds-$1" ] && [ -d protos/gen ] && [ "$(cat "$venv/.holds-$1")" = "$(state "$1")" ]; }

if holds dev || { [ "$wanted" = demo ] && holds demo; }; then exit 0; fi

if ! supported "$venv/bin/python"; then
  python=$(find_python)
  echo "Creating $venv with $("$python" --version)"
  rm -rf "$venv"
  "$python" -m venv "$venv" >/dev/null 2>&1 || {
    rm -rf "$venv"
    die "$python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"
  }
fi
rm -f "$venv"/.holds-*
if [ ! -x "$venv/bin/uv" ]; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
fi
echo "Installing what $wanted needs (about 3 GB to download the first time)"
"$venv/bin/uv" pip sync --python "$venv/bin/python" --require-hashes "requirements/$wanted.lock"
echo "Building the gRPC stubs and installing gpt-server"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --editable .
"$venv/bin/python" models/demo/compose.py
state "$wanted" >"$venv/.holds-$wanted"
