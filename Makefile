# Two commands need nothing but Python 3.11, git and make: `make demo` and `make test`. Tests of what
# needs a Docker engine say that they were skipped where none is, or no image was made (`make images`).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# More than there are cores: most tests wait for processes. CI refuses skips; a laptop may lack a part.
JOBS ?= 4
PYTEST_FLAGS ?=
# The mirrors that apt and pip know on this machine are reached from its own network.
DOCKER_BUILD := docker build --quiet --force-rm --network host

.PHONY: help demo test lint types imports unit bench base-image image images sandbox-image topology dist sbom audit chaos clean
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
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(PYTEST_FLAGS)

bench: $(STAMP) ## ratios and latencies of this machine, printed
	$(BIN)/python -m tests.bench.gates
	$(BIN)/python -m tests.bench.kill
	$(BIN)/python -m tests.bench.sandboxes
	$(BIN)/python -m tests.bench.overhead
	$(BIN)/python -m tests.bench.fleet
	$(BIN)/python -m tests.bench.dashboard

base-image:
	deploy/base-image.sh

# The program is that of the wheel, from where pip put it: its stage would only copy it twice.
sandbox-image: $(STAMP) base-image ## orchestrator-sandbox:local, what agents run in
	rm -rf build/sandbox && mkdir -p build/sandbox
	cp --reflink=auto "$$($(BIN)/python -c 'import claude_agent_sdk as sdk; print(sdk.__path__[0])')/_bundled/claude" build/sandbox/
	$(DOCKER_BUILD) --tag orchestrator-sandbox:local --file deploy/sandbox.Dockerfile build/sandbox

# The image's Python must be of this one's version, 3.11; redis-py wants async-timeout before 3.11.3.
EXTRAS ?= otel
image: $(STAMP) base-image ## orchestrator:local, the control plane and the workers
	rm -rf build/image && mkdir -p build/image && cp deploy/valkey.conf build/image/
	$(BIN)/pip wheel --quiet --disable-pip-version-check --wheel-dir build/image/wheels -c deploy/constraints.txt '.[$(EXTRAS)]' pip async-timeout
	$(DOCKER_BUILD) --tag orchestrator:local --file deploy/Dockerfile build/image

images: image sandbox-image ## every image, from a base that is made where none can be pulled

topology: $(STAMP) images ## two hosts and the compose system, as containers of our own image
	$(BIN)/pytest tests/topology

dist: $(STAMP) ## wheel and sdist, the wheel from the sdist
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

# Of what an installation without extras brings along, not of what tests it.
sbom: dist ## the software bill of materials of the wheel, in dist/
	$(PYTHON) -m venv dist/.installed
	dist/.installed/bin/pip install --quiet --disable-pip-version-check -c deploy/constraints.txt dist/*.whl
	$(BIN)/python -m cyclonedx_py environment --output-reproducible --output-file dist/sbom.cdx.json dist/.installed/bin/python
	rm -rf dist/.installed

# It fails where the service that knows the vulnerabilities cannot be asked: silence is no clearance.
audit: $(STAMP) ## known vulnerabilities of the pinned dependencies
	$(BIN)/python -m pip_audit --strict --disable-pip --no-deps --requirement deploy/constraints.txt

chaos: $(STAMP) ## 50 agents for 5 minutes while workers and Valkey are killed
	$(BIN)/python -m tests.chaos --seconds 300 --agents 50

clean: ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
