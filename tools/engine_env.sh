#!/usr/bin/env bash
# Makes .venvs/test-NAME: the environment of an engine as `gpt-server engines install NAME` makes it, then pytest, what
# the edge needs, this checkout in place of the wheel, and tests/with_NAME/platform where there is one. Does nothing when
# all that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1
venv=.venvs/test-$name

platform=tests/with_$name/platform

state() {
  cat requirements/*.lock pyproject.toml launcher/engines.py tools/engine_env.sh \
    $(find protos/gpt_server -name '*.proto' | sort) \
    $(find "tests/with_$name" -path "$platform/*" \( -name '*.py' -o -name '*.toml' \) | sort) | sha256sum
}

if [ -f "$venv/.holds" ] && [ "$(cat "$venv/.holds")" = "$(state)" ]; then exit 0; fi
rm -f "$venv/.holds"
.venv/bin/gpt-server engines install "$name" --dir "$venv" --device cpu
.venv/bin/uv pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r requirements/engine-tests.lock
.venv/bin/uv pip install --quiet --python "$venv/bin/python" --no-deps --editable .
# What lets a library for GPUs run without one, in tests.
if [ -d "$platform" ]; then .venv/bin/uv pip install --quiet --python "$venv/bin/python" --no-deps "./$platform"; fi
state >"$venv/.holds"
