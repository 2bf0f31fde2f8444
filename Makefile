# `make` lists the targets. PYTHON=... chooses another Python than the first that fits, from 3.11 to 3.13.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)

BIN := .venv/bin
UV := uv==0.13.8
TEMPLATE := {{cookiecutter.project}}
# The project's own settings leave the engine out.
OF_THE_ENGINE = --config '$(TEMPLATE)/pyproject.toml' --config 'extend-exclude = []' '$(TEMPLATE)/src/kindling'

# pip reads PIP_FIND_LINKS, uv does not: whoever has wheels of their own sets one of the two.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

# Containers often set this; each of the hundreds of processes of the tests would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# A half-made environment, or one whose Python is gone, starts again from nothing.
ifneq ($(wildcard .venv),)
ifneq ($(shell $(BIN)/python -c 'import pip; print("whole")' 2>/dev/null),whole)
$(shell rm -rf .venv)
endif
endif

# One process more than cores, as tests wait for commands, clusters and each other; long files come first.
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN) && echo $$((cores < 4 ? cores + 1 : 4)))
AT_ONCE := --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test check benchmark setup clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: .venv/.tools ## bake a project into build/, train BERT in it, show its test metrics
	@PYTHON="$(PYTHON)" sh demo.sh

test: setup ## run every test: the engine's; hooks, every bake, one bake installed and put through its README (minutes)
	@engine=0; $(BIN)/python -m pytest tests/engine $(AT_ONCE) || engine=$$?; \
	$(BIN)/python -m pytest -m "" $(AT_ONCE) && exit $$engine

check: setup ## lint, format check and types, of Kindling, of the engine and of the project before it is baked
	$(BIN)/python -m ruff check --no-cache .
	$(BIN)/python -m ruff format --no-cache --check .
	$(BIN)/python -m ruff check --no-cache $(OF_THE_ENGINE)
	$(BIN)/python -m ruff format --no-cache --check $(OF_THE_ENGINE)
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy --config-file tests/engine/mypy.ini
	cd '$(TEMPLATE)' && ../$(BIN)/python -m mypy --cache-dir ../.mypy_cache

benchmark: benchmarks/.venv/.installed ## measure a baked project beside other frameworks (20 minutes)
	@benchmarks/.venv/bin/python benchmarks/run.py

setup: .venv/.project ## make or mend the environment in .venv

clean: ## delete what the other targets made
	rm -rf .venv benchmarks/.venv build .mypy_cache .pytest_cache .ruff_cache

# Small: what bakes, checks and tests the template.
.venv/.tools: requirements.txt Makefile
	@test -n "$(PYTHON)" || { echo "error: no Python from 3.11 to 3.13 with venv and pip: install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up .venv with $(PYTHON)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(UV)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	@touch $@

# Large: what the project imports, so that it can be checked and tested before it is baked.
.venv/.project: .venv/.tools $(TEMPLATE)/requirements.txt
	@echo "Setting up .venv for the project"
	@$(BIN)/uv pip install --python $(BIN)/python -r requirements.txt -r '$(TEMPLATE)/requirements.txt'
	@touch $@

# Apart: frameworks to compare with. Without compiled files Python would start at half the speed.
benchmarks/.venv/.installed: .venv/.tools benchmarks/requirements.txt $(TEMPLATE)/requirements.txt
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python benchmarks/.venv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python benchmarks/.venv/bin/python -r benchmarks/requirements.txt
	@touch $@
