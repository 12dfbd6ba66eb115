# Two commands need nothing but Python 3.11, git and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Two at a time: most tests wait for processes. CI refuses skips; a laptop may lack an optional part.
PYTEST_FLAGS ?=

.PHONY: help demo test lint types imports unit bench chaos clean
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.base: pyproject.toml deploy/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -e .
	@touch $@

$(STAMP): $(VENV)/.base
	$(BIN)/pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -e '.[dev,claude,otel]'
	@touch $@

demo: $(VENV)/.base ## run one agent from spawn to a pushed branch, on an embedded Valkey
	$(BIN)/orch demo

test: lint types imports unit ## everything CI runs

lint: $(STAMP) ## ruff, formatting included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## the direction rules of the house
	$(BIN)/lint-imports

unit: $(STAMP) ## every test, real parts included
	$(BIN)/pytest -n 2 $(PYTEST_FLAGS)

bench: $(STAMP) ## ratios and latencies of this machine, printed
	$(BIN)/python -m tests.bench.gates
	$(BIN)/python -m tests.bench.kill
	$(BIN)/python -m tests.bench.overhead
	$(BIN)/python -m tests.bench.fleet
	$(BIN)/python -m tests.bench.dashboard

chaos: $(STAMP) ## 50 agents for 5 minutes while workers and Valkey are killed
	$(BIN)/python -m tests.chaos --seconds 300 --agents 50

clean: ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
