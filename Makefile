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
.PHONY: $(shell grep -oE '^[a-z-]+:' Makefile | tr -d :)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: env ## install what the demo needs and start it on http://127.0.0.1:8000
	@exec $(BIN)/gpt-server up

test: env-dev ## unit tests, the hf engine, the demo stack end to end
	$(BIN)/pytest --ignore=tests/install --ignore=tests/with_vllm --ignore=tests/with_sglang --ignore=tests/with_lmdeploy --ignore=tests/with_infinity --ignore=tests/clients --ignore=tests/cluster --ignore=tests/kubernetes --ignore=tests/images

test-install: env-dev ## the wheel in environments of its own
	$(BIN)/pytest tests/install

test-engines: env-dev ## the real vLLM, SGLang, LMDeploy and infinity, each in an environment of its own
	@tools/engine_env.sh vllm
	@# vLLM leaves sockets to the garbage collector, which complains whenever it comes by.
	.venvs/test-vllm/bin/python -m pytest -p no:unraisableexception tests/with_vllm
	@tools/engine_env.sh sglang
	.venvs/test-sglang/bin/python -m pytest -p no:unraisableexception tests/with_sglang
	@tools/engine_env.sh lmdeploy
	.venvs/test-lmdeploy/bin/python -m pytest -p no:unraisableexception tests/with_lmdeploy
	@tools/engine_env.sh infinity
	@# Its environment has nothing of the edge's, which the other tests' fixtures start.
	.venvs/test-infinity/bin/python -m pytest --confcutdir=tests/with_infinity tests/with_infinity

test-clients: env-dev ## openai's SDKs, LangChain, Vercel's AI SDK, LiteLLM; gRPC clients for five languages
	$(BIN)/pytest tests/clients

test-cluster: env-dev ## the real Consul, replicas and edges that are killed and restarted; a real S3 server
	@consul=$$(tools/go_tool.sh consul) && gateway=$$(tools/go_tool.sh versitygw) && PATH="$${consul%/*}:$${gateway%/*}:$$PATH" $(BIN)/pytest tests/cluster

test-chart: env-dev ## the Helm chart, linted, rendered and held against the programs' own checks
	@tools/engine_env.sh vllm
	@helm=$$(tools/go_tool.sh kubernetes helm) && PATH="$${helm%/*}:$$PATH" $(BIN)/pytest tests/kubernetes --ignore=tests/kubernetes/test_install.py

test-kubernetes: env-dev ## the Helm chart on a real control plane, its commands on real processes
	@tools/engine_env.sh vllm
	@first=$$(tools/go_tool.sh kubernetes) && PATH="$${first%/*}:$$PATH" $(BIN)/pytest tests/kubernetes

test-images: env-dev ## container images, really built and run; not in CI: 5 CPU minutes, 25 GB
	$(BIN)/pytest tests/images

test-all: env-dev ## everything but test-kubernetes and test-images, in two lines side by side; what CI runs after lint
	@$(MAKE) -j2 --output-sync=target test-here test-beside

test-here: # what test-all runs on one line
	@$(MAKE) -j1 test test-engines test-chart

test-beside: # and on the other
	@$(MAKE) -j1 test-install test-clients test-cluster

tools: ## build what test-cluster needs, Consul and an S3 server, outside this folder: minutes, once
	@tools/go_tool.sh consul
	@tools/go_tool.sh versitygw

lint: env-dev ## formatting, types, who imports whom, protos
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/baseline.binpb
	$(BIN)/mypy $(CODE) clients/python

format: env-dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: env-dev ## make the stubs again after a change of protos/
	$(BIN)/python tools/build_stubs.py

baseline: env-dev ## at a release: what buf breaking holds protos/ against from now on
	$(BIN)/buf breaking --against protos/baseline.binpb
	$(BIN)/buf build --exclude-source-info -o protos/baseline.binpb

docs: env-dev ## write the generated reference pages of docs/ again
	$(BIN)/python -m tools.write_docs

lock: env-dev ## resolve requirements/*.lock again; UPGRADE=1 takes the newest versions
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/lock.sh $(if $(UPGRADE),--upgrade)

bench: bench-edge bench-hf bench-embed bench-image bench-vllm bench-sglang bench-routing bench-cluster ## all measurements: tables, and figures in build/bench

bench-edge: env-dev ## what the edge costs alone
	$(BIN)/python -m bench.edge_alone

bench-hf: env-dev ## the hf engine beside transformers' own batching
	$(BIN)/python -m bench.hf_batching

bench-audio: env-dev ## speech and transcription through the edge beside their engines
	$(BIN)/python -m bench.audio

bench-embed: env-dev ## the embed service beside the library offline and infinity's server
	$(BIN)/python -m bench.embed

bench-image: env-dev ## what the way to an image costs
	$(BIN)/python -m bench.image

bench-vllm: env-dev ## our path to vLLM beside its own server, LiteLLM and SMG
	$(BIN)/python -m bench.side_by_side

bench-sglang: env-dev ## our path to SGLang beside its own server
	$(BIN)/python -m bench.side_by_side --engine sglang --out build/bench/sglang

bench-routing: env-dev ## what the choice of a replica is worth
	$(BIN)/python -m bench.routing

bench-cluster: env-dev ## kill -9 to out of rotation, ready to first answer, Consul restarted under load
	@consul=$$(tools/go_tool.sh consul) && PATH="$${consul%/*}:$$PATH" $(BIN)/python -m bench.failover

env: ## .venv with what the demo needs
	@tools/venv.sh demo

env-dev: ## .venv with what tests need too
	@tools/venv.sh dev

clean: ## remove .venv and everything that was built
	rm -rf .venv .venvs protos/gen dist build clients/*/target clients/node/{dist,node_modules,src/gen} clients/python/gen .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
