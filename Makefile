# GPT Server. `make` alone lists what there is.
SHELL := /bin/bash
BIN := .venv/bin
# Tests and services on a CPU crawl when OpenMP threads spin for work.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
# Without compiled files each start of an engine takes half a minute longer.
unexport PYTHONDONTWRITEBYTECODE
CODE := edge services launcher tools models tests bench

.DEFAULT_GOAL := help
.PHONY: help run test test-install test-engines test-clients test-all lint format protos docs lock bench bench-edge bench-hf bench-vllm env env-dev clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: env ## install what the demo needs and start it on http://127.0.0.1:8000
	@exec $(BIN)/gpt-server up

test: env-dev ## unit tests, the hf engine, the demo stack end to end
	$(BIN)/pytest --ignore=tests/install --ignore=tests/with_vllm --ignore=tests/with_sglang --ignore=tests/clients

test-install: env-dev ## the wheel in environments of its own
	$(BIN)/pytest tests/install

test-engines: env-dev ## the real vLLM and SGLang, each in an environment of its own
	@tools/engine_env.sh vllm
	@# vLLM leaves sockets to the garbage collector, which complains whenever it comes by.
	.venvs/test-vllm/bin/python -m pytest -p no:unraisableexception tests/with_vllm
	@tools/engine_env.sh sglang
	.venvs/test-sglang/bin/python -m pytest -p no:unraisableexception tests/with_sglang

test-clients: env-dev ## openai's SDKs, LangChain, Vercel's AI SDK, LiteLLM
	$(BIN)/pytest tests/clients

test-all: test test-install test-clients test-engines ## everything; what CI runs after lint

lint: env-dev ## formatting, types, who imports whom, protos
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/mypy $(CODE)

format: env-dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: env-dev ## make the stubs again after a change of protos/
	$(BIN)/python tools/build_stubs.py

docs: env-dev ## write the generated reference pages of docs/ again
	$(BIN)/python -m tools.write_docs

lock: env-dev ## resolve requirements/*.lock again; UPGRADE=1 takes the newest versions
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/lock.sh $(if $(UPGRADE),--upgrade)

bench: bench-edge bench-hf bench-vllm ## all measurements: tables, and figures in build/bench

bench-edge: env-dev ## what the edge costs alone
	$(BIN)/python -m bench.edge_alone

bench-hf: env-dev ## the hf engine beside transformers' own batching
	$(BIN)/python -m bench.hf_batching

bench-vllm: env-dev ## our path to vLLM beside its own server, LiteLLM and SMG
	$(BIN)/python -m bench.side_by_side

env: ## .venv with what the demo needs
	@tools/venv.sh demo

env-dev: ## .venv with what tests need too
	@tools/venv.sh dev

clean: ## remove .venv and everything that was built
	rm -rf .venv .venvs protos/gen dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
