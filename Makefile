# `make demo` and `make test` need only Python 3.11, git and make. Without a Docker Engine or without
# images (`make images`), the tests that need them are skipped and say so.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# More jobs than cores, because most tests wait for processes. CI refuses skipped tests.
JOBS ?= 4
PYTEST_FLAGS ?=
# The build uses the host's network, to reach the apt and pip mirrors of this machine.
DOCKER_BUILD := docker build --quiet --force-rm --network host

.PHONY: help demo test lint types imports unit agents agents-image clients bench peers base-image image images sandbox-image topology dist sbom audit chaos soak mutants clean
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

imports: $(STAMP) ## the import layers
	$(BIN)/lint-imports

unit: $(STAMP) ## all tests, with real parts
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(PYTEST_FLAGS)

# Tests of an agent program are skipped without it.
agents: build/agents/.installed ## install the agent programs of npm that tests start, at pinned versions
build/agents/.installed: deploy/agents/package.json
	mkdir -p build/agents && cp deploy/agents/package.json build/agents/
	npm install --prefix build/agents --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# The test of the TypeScript client is skipped without them.
clients: build/clients/.installed ## install the generator of TypeScript clients, at pinned versions
build/clients/.installed: deploy/clients/package.json
	mkdir -p build/clients && cp deploy/clients/package.json build/clients/
	npm install --prefix build/clients --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# A benchmark that fails or takes too long is left out; the pages say so.
bench: $(STAMP) ## measure this machine, and render docs/performance*.md
	-$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.page

peers: $(STAMP) ## measure the API beside other services, and render docs/performance*.md
	$(BIN)/python -m tests.bench.peers.install
	$(BIN)/python -m tests.bench.peers
	$(BIN)/python -m tests.bench.page

base-image:
	deploy/base-image.sh

# Copies the Claude Code binary from the installed wheel.
sandbox-image: $(STAMP) base-image ## build orchestrator-sandbox:local, the image of the sandboxes
	rm -rf build/sandbox && mkdir -p build/sandbox
	cp --reflink=auto "$$($(BIN)/python -c 'import claude_agent_sdk as sdk; print(sdk.__path__[0])')/_bundled/claude" build/sandbox/
	$(DOCKER_BUILD) --tag orchestrator-sandbox:local --file deploy/sandbox.Dockerfile build/sandbox

# Node.js comes from this machine, because Debian 12 has none that Gemini CLI runs on.
agents-image: agents ## build orchestrator-agents:local, the image of the sandboxes with more agent programs
	rm -rf build/agents-image && mkdir -p build/agents-image
	cp --reflink=auto "$$(readlink -f "$$(command -v node)")" build/agents-image/node
	cp -r --reflink=auto build/agents/node_modules build/agents-image/
	$(DOCKER_BUILD) --tag orchestrator-agents:local --file deploy/agents.Dockerfile build/agents-image
	rm -rf build/agents-image

# This Python must have the version of the image, 3.11. redis-py needs async-timeout before 3.11.3.
EXTRAS ?= otel
image: $(STAMP) base-image ## build orchestrator:local, the image of control plane and workers
	rm -rf build/image && mkdir -p build/image && cp deploy/valkey.conf build/image/
	$(BIN)/pip wheel --quiet --disable-pip-version-check --wheel-dir build/image/wheels -c deploy/constraints.txt '.[$(EXTRAS)]' pip async-timeout
	$(DOCKER_BUILD) --tag orchestrator:local --file deploy/Dockerfile build/image

images: image sandbox-image ## build all images, and their base if none can be pulled

topology: $(STAMP) images ## test two hosts and the compose system in containers
	$(BIN)/pytest tests/topology

dist: $(STAMP) ## build the sdist, and the wheel from it
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

# It lists what an installation without extras contains.
sbom: dist ## write the software bill of materials of the wheel to dist/
	$(PYTHON) -m venv dist/.installed
	dist/.installed/bin/pip install --quiet --disable-pip-version-check -c deploy/constraints.txt dist/*.whl
	$(BIN)/python -m cyclonedx_py environment --output-reproducible --output-file dist/sbom.cdx.json dist/.installed/bin/python
	rm -rf dist/.installed

# It fails if the vulnerability service is unreachable.
audit: $(STAMP) ## check the pinned dependencies for known vulnerabilities
	$(BIN)/python -m pip_audit --strict --disable-pip --no-deps --requirement deploy/constraints.txt

chaos: $(STAMP) ## run 50 agents for 5 minutes while workers and Valkey are killed
	$(BIN)/python -m tests.chaos --seconds 300 --agents 50

soak: $(STAMP) ## run what takes longer than CI: random agents, every cheat, every crash, two days
	$(BIN)/pytest -n $(JOBS) -m soak
	@seed=$$(od -An -N3 -tu4 /dev/urandom | tr -d ' '); echo "CAPTURE_SEED=$$seed"; \
	CAPTURE_RUNS=2000 CAPTURE_SEED=$$seed $(BIN)/pytest -n $(JOBS) tests/unit/workspace/test_capture_property.py
	ENDS=all $(BIN)/pytest -n $(JOBS) tests/integration/test_ends_keep_work.py tests/integration/test_gate_ends_keep_work.py
	CHEATS=all $(BIN)/pytest -n $(JOBS) tests/unit/gates/test_*cheats.py
	IMAGES=all $(BIN)/pytest tests/sandbox/test_repository_images.py
	$(MAKE) agents-image && AGENTS=all $(BIN)/pytest -n $(JOBS) tests/integration/agents tests/sandbox/test_agent_programs.py
	CRASH_STEPS=all $(BIN)/pytest -n $(JOBS) tests/faults/test_crash_matrix.py
	HOSTILE_RUNS=100 $(BIN)/pytest -n $(JOBS) tests/integration/budget/test_hostile_programs.py
	$(BIN)/python -m tests.soak

# Hours; `ONLY=lua`, `leases`, `delivery`, `findings` or `secrets` takes a part of it.
ONLY ?=
mutants: $(STAMP) ## print the faults in guards that no test notices
	$(BIN)/python -m tests.mutants $(if $(ONLY),--only $(ONLY))

clean: ## remove what make created
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
