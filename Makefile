# The front door: `make help` lists the targets. Everything real is in `cellar` (see README.md).
#
#   make image [CELL=cu124 | CUDA=11.1] [ISA=x86-64-v2] [GPU=8.6] [ENGINE=buildah]

.DEFAULT_GOAL := help
SHELL := /bin/sh
CELLAR := .venv/bin/cellar
PYTHON := .venv/bin/python

IMAGE ?= bevformer
ENGINE ?= docker
SELECT := --image $(IMAGE) $(if $(CELL),--cell $(CELL)) $(if $(CUDA),--cuda $(CUDA)) \
          $(if $(ISA),--isa $(ISA)) $(if $(GPU),--gpu $(GPU))
LEVEL := $(or $(ISA),x86-64-v2)
TAG := cellar/$(IMAGE):$(or $(CELL),cpu)$(addprefix -,$(filter-out x86-64-v2,$(LEVEL)))
WORKLOADS := $(addprefix --workloads ,$(wildcard images/$(IMAGE)/workloads.yaml))
BASELINE := $(addprefix --baseline ,$(and $(filter x86-64-v2,$(LEVEL)),\
            $(wildcard images/$(IMAGE)/audit/$(or $(CELL),cpu).json)))

.PHONY: help setup image lock lock-check lock-tools fetch render build build-all bake audit prove passport verify \
        reproduce doctor matrix lint test test-evaluator test-engine docs fault bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup:
	@./builder/bootstrap.sh

image: setup ## fetch, render, build and verify an image: the whole way
	@$(CELLAR) image $(SELECT) --engine $(ENGINE)

lock: setup ## make a cell's lock anew, inside the cell's own base (network)
	@$(CELLAR) lock $(SELECT)

lock-check: setup ## say whether the locks still fit the matrix
	@$(CELLAR) lock --check $(SELECT)

lock-tools: setup ## make lock/tools.txt anew: what Cellar itself needs on the host (network)
	@{ echo "# Made by \`make lock-tools\`: what Cellar itself needs on the host, by hash. Do not edit."; \
	.venv/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra dev \
	  --output-file - pyproject.toml; } >lock/tools.txt.new && mv lock/tools.txt.new lock/tools.txt

fetch: setup ## bring every locked input into the store (network)
	@$(CELLAR) fetch $(SELECT)

render: setup ## write the golden Dockerfiles of all cells
	@$(CELLAR) render --golden

build: setup ## build a cell's image without network
	@$(CELLAR) build $(SELECT) --engine $(ENGINE)

build-all: setup ## build every cell whose inputs are here, with JOBS compilers at once
	@$(CELLAR) build --all --image $(IMAGE) --engine $(ENGINE) $(if $(JOBS),--jobs $(JOBS))

bake: setup ## write the matrix as a docker-bake file, for any builder that buildx can reach
	@$(CELLAR) bake --image $(IMAGE) $(if $(CELL),--cell $(CELL))

audit: setup ## say which CPUs and GPUs the image's binaries need; fail where it got worse
	@$(CELLAR) audit $(TAG) --isa $(LEVEL) --waivers images/$(IMAGE)/waivers.yaml $(BASELINE)

prove: setup ## run the image's workloads on an emulated CPU of its level (needs qemu-user-static)
	@$(CELLAR) prove $(TAG) --cpu $(LEVEL) --limit 1800 --record .cellar/evidence/$(IMAGE) $(WORKLOADS)

passport: setup ## say what the image needs and what was proven of it; RECORD=1 keeps it as evidence
	@$(CELLAR) passport $(TAG) $(if $(RECORD),--record)

verify: setup ## test a built image and record the evidence
	@$(CELLAR) verify $(SELECT) --engine $(ENGINE)

reproduce: setup ## build again, cold, and say what differs
	@$(CELLAR) reproduce $(SELECT) --engine $(ENGINE)

doctor: setup ## hold this host against the cells
	@$(CELLAR) doctor

matrix: setup ## list the cells
	@$(CELLAR) matrix

lint: setup ## style, types, import contracts, shell scripts, data files
	@.venv/bin/ruff check builder tests images/bevformer/evaluator images/bevformer/workloads
	@.venv/bin/ruff format --check builder tests images/bevformer/evaluator images/bevformer/workloads
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(CELLAR) matrix --check

test: setup ## the unit tests, without network
	@./tests/offline .venv/bin/pytest

test-evaluator: setup ## the evaluator's own tests, in a venv of their own with torch
	@./images/bevformer/evaluator/run-tests

test-engine: setup ## tests that need a container engine
	@.venv/bin/pytest --run-engine -m engine tests/unit tests/image

docs: setup ## make the generated blocks of README.md anew
	@$(PYTHON) -m tests.readme

fault: setup ## long fault-injection loops of the store and downloads
	@.venv/bin/pytest tests/fault

bench: setup ## the measurements: a plain Dockerfile, the cells, objdump, each beside ours
	@$(PYTHON) -m tests.bench

clean: ## remove .venv and build leftovers (not the store)
	rm -rf .venv .cellar .mypy_cache .ruff_cache .pytest_cache
