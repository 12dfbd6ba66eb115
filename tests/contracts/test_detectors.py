"""What every detector keeps, whichever file brings it, and what each finds."""

from __future__ import annotations

import importlib
import json
import random
from dataclasses import replace

import pytest

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import mentioned_report, ordered
from orchestrator.gates.profiles import profiles
from orchestrator.interfaces.gate import GateCommand
from orchestrator.plugins import Family

DETECTORS = Family("orchestrator.gates.detectors")
GARBAGE = (
    b"\x00\xff{[<",
    b"{",
    b"[]",
    b"null",
    b"[" * 100_000,
    b'{"scripts": null}',
    b'{"scripts": {"test": 7}}',
    b'{"dependencies": []}',
    b"[tool]\nmypy = 7\n[tool.pytest]\ntestpaths = 7\n[tool.hatch.envs]\nx = 7\n",
    *(random.Random(seed).randbytes(200) for seed in range(50)),
)


NAMES = frozenset({
    "pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "pytest.ini", "mypy.ini",
    ".coveragerc", ".pre-commit-config.yaml", "requirements.txt", "package.json", "yarn.lock",
    "pnpm-workspace.yaml", "tsconfig.json", "go.mod", "Cargo.toml", "a/Cargo.toml", "Makefile",
    "GNUmakefile", "Makefile.am", "configure.ac", "CMakeLists.txt", "tests/test_a.py", "a/x.rs",
    "a/package.json", "a/x.test.js",
})  # fmt: skip


def detected(name: str, files: dict[str, str]) -> Detected:
    encoded = {path: text.encode() for path, text in files.items()}
    return DETECTORS.build(name, None).detect(BaseFiles(encoded.get, encoded.keys()))


def found(name: str, files: dict[str, str]) -> dict[str, GateCommand]:
    return {
        gate: replace(command, source="", script="")
        for gate, command in detected(name, files).commands.items()
    }


def commands(name: str, files: dict[str, str]) -> dict[str, str]:
    return {gate: command.command for gate, command in found(name, files).items()}


@pytest.fixture(params=DETECTORS.names())
def name(request):
    return request.param


def test_it_says_what_it_is(name):
    module = importlib.import_module(f"{DETECTORS.package}.{name}")
    assert module.__doc__
    assert type(DETECTORS.build(name, None)).__doc__


def test_a_repository_of_another_kind_is_not_its_own(name):
    assert not found(name, {})
    assert not found(name, {"README.md": "pytest, make test, npm test"})


@pytest.mark.parametrize("content", GARBAGE)
def test_whatever_the_files_hold_it_finds_gates_that_exist_or_none(name, content):
    detector = DETECTORS.build(name, None)
    files = BaseFiles(lambda _path: content, NAMES)
    assert set(detector.folders(NAMES)) <= {"", "a", "tests"}
    gates = detector.detect(files).commands
    assert gates.keys() <= profiles().gates.keys()
    assert all(gates[gate].report for gate in gates if gate == "coverage")


def test_the_one_that_names_a_tool_is_asked_before_the_one_the_agent_can_edit():
    assert ordered(["make", "node", "python", "zig"]) == ("python", "zig", "node", "make")
    assert ordered(DETECTORS.names())[-2:] == ("node", "make")


@pytest.mark.parametrize(
    ("files", "gate", "command"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]"}, "tests", "python3 -m pytest"),
        ({"pytest.ini": "[pytest]"}, "tests", "python3 -m pytest"),
        ({"setup.cfg": "[tool:pytest]"}, "tests", "python3 -m pytest"),
        ({"requirements-dev.txt": "pytest-xdist"}, "tests", "python3 -m pytest"),
        (
            {"setup.cfg": "[options.extras_require]\ntest =\n  pytest"},
            "tests",
            "python3 -m pytest",
        ),
        (
            {"pyproject.toml": "[tool.hatch.envs.test.scripts]\nrun = 'pytest {args}'"},
            "tests",
            "python3 -m pytest",
        ),
        ({"tests/__init__.py": ""}, "tests", "python3 -m unittest"),
        (
            {"tests/__init__.py": "", "tox.ini": "[testenv]\ndeps = pytest"},
            "tests",
            "python3 -m pytest",
        ),
        ({"tests/__init__.py": "", "tox.ini": "# pytest"}, "tests", "python3 -m unittest"),
        ({"pyproject.toml": "[tool.mypy]\nstrict = true"}, "typecheck", "mypy ."),
        ({"pyproject.toml": '[tool.mypy]\nx = ["a"]\nfiles = ["a"]'}, "typecheck", "mypy"),
        ({"pyproject.toml": '[tool.mypy]\n[tool.x]\nfiles = ["a"]'}, "typecheck", "mypy ."),
        ({"mypy.ini": "[mypy]\npackages = a"}, "typecheck", "mypy"),
        ({"pyrightconfig.json": "", "requirements.txt": "mypy"}, "typecheck", "pyright"),
        ({"pyrightconfig.json": "", "mypy.ini": "[mypy]"}, "typecheck", "mypy ."),
        ({"requirements.txt": "mypy\npyright"}, "typecheck", "mypy ."),
        ({"requirements.txt": "pyright"}, "typecheck", "pyright"),
        ({"pyproject.toml": "[tool.ruff.lint]"}, "lint", "ruff check ."),
        ({"ruff.toml": ""}, "lint", "ruff check ."),
        (
            {".pre-commit-config.yaml": "repos:\n- repo: x\n  hooks:\n  - id: ruff\n"},
            "lint",
            "ruff check .",
        ),
        ({".flake8": "", "tox.ini": "ruff"}, "lint", "flake8"),
        ({".flake8": "", "requirements.txt": "ruff"}, "lint", "flake8"),
        ({".flake8": "", "ruff.toml": ""}, "lint", "ruff check ."),
        ({".flake8": "", "pyproject.toml": "[tool.ruff]"}, "lint", "ruff check ."),
        ({"pyproject.toml": "[build-system]"}, "build", "python3 -m build"),
        (
            {"pyproject.toml": "[tool.pytest]\n[tool.coverage.run]"},
            "coverage",
            "coverage run -m pytest && coverage json -o coverage.json",
        ),
        (
            {"tests/__init__.py": "", ".coveragerc": "[run]\nparallel = True"},
            "coverage",
            (
                "coverage erase && coverage run -m unittest"
                " && coverage combine && coverage json -o coverage.json"
            ),
        ),
        (
            {"requirements.txt": "pytest-cov\ncoverage"},
            "coverage",
            "python3 -m pytest --cov --cov-report=json:coverage.json",
        ),
        ({"pyproject.toml": "[tool.pytest]"}, "coverage", None),
        ({"requirements.txt": "coverage"}, "coverage", None),
        ({"pyproject.toml": "[tool.pytest]"}, "lint", None),
        ({"requirements.txt": "pytest-mypy-plugins"}, "typecheck", None),
    ],
)
def test_python(files, gate, command):
    assert commands("python", files).get(gate) == command


def package(**scripts: str) -> str:
    return json.dumps({"scripts": scripts, "devDependencies": {"x": "1"}})


def test_node_runs_the_scripts_there_are():
    files = {"package.json": package(test="x", lint="x", build="x", typecheck="x", other="x")}
    assert commands("node", files) == {
        "tests": "npm run --silent test",
        "lint": "npm run --silent lint",
        "build": "npm run --silent build",
        "typecheck": "npm run --silent typecheck",
    }
    stub = {"package.json": package(test='echo "Error: no test specified" && exit 1')}
    assert not commands("node", stub)


@pytest.mark.parametrize(
    ("lock", "command"),
    [
        ("package-lock.json", "npm ci --no-audit --no-fund && npm run --silent test"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile && pnpm --silent run test"),
        ("yarn.lock", "yarn install --frozen-lockfile && yarn run test"),
    ],
)
def test_node_installs_what_the_lock_file_says_with_its_own_manager(lock, command):
    assert commands("node", {"package.json": package(test="x"), lock: ""})["tests"] == command
    bare = {"package.json": '{"scripts": {"test": "x"}}', lock: ""}
    assert "install" not in commands("node", bare)["tests"]


@pytest.mark.parametrize(
    ("scripts", "command", "report"),
    [
        (
            {"test": "jest"},
            "npm run --silent test -- --coverage --coverageReporters=json-summary",
            "coverage/coverage-summary.json",
        ),
        (
            {"test": "mocha", "coverage": "c8 mocha"},
            "npm run --silent coverage && npx --no-install c8 report --reporter=json-summary",
            "coverage/coverage-summary.json",
        ),
        (
            {"coverage": "node --test --test-reporter-destination=./out/lcov.info"},
            "npm run --silent coverage",
            "out/lcov.info",
        ),
    ],
)
def test_node_coverage_leaves_a_report_that_can_be_read(scripts, command, report):
    gate = found("node", {"package.json": package(**scripts)})["coverage"]
    assert gate == GateCommand(command, report=report)


def test_go_and_rust():
    assert commands("go", {"go.mod": ""})["lint"] == "go vet ./..."
    assert commands("go", {"go.mod": ""})["tests"] == "go test -v ./..."
    assert commands("go", {"go.mod": "", ".golangci.yml": ""})["lint"] == "golangci-lint run"
    assert found("go", {"go.mod": ""})["coverage"].report == "coverage.out"
    assert set(commands("rust", {"Cargo.toml": ""})) == {"typecheck", "lint", "tests", "build"}


def test_make_knows_rules_from_assignments_and_lists_of_phony_targets():
    text = ".PHONY: build\nlint typecheck: x\n\ttrue\ntest := 1\nx: integration\n"
    assert commands("make", {"Makefile": text}) == {
        "lint": "make lint",
        "typecheck": "make typecheck",
    }
    both = {"makefile": "test:\n", "Makefile": "lint:\n"}
    assert commands("make", both) == {"tests": "make test"}
    assert detected("make", both).commands["tests"].source == "makefile"


def test_make_offers_coverage_only_where_a_report_is_named():
    assert "coverage" not in found("make", {"Makefile": "coverage:\n\tx\n"})
    gate = found("make", {"Makefile": "coverage:\n\tx --out build/lcov.info\n"})["coverage"]
    assert gate == GateCommand("make coverage", report="build/lcov.info")


@pytest.mark.parametrize("text", ["/tmp/lcov.info", "../lcov.info", "a/../lcov.info", "my.lcov"])
def test_a_report_outside_the_repository_is_not_found(text):
    assert mentioned_report(f"x {text}") is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (".pre-commit-config.yaml", "a: &a [x]\n" + "".join(
            f"a{n}: &a{n} [*a{n - 1 or ''}, *a{n - 1 or ''}]\n" for n in range(1, 60)
        )),
        ("package.json", package(**{f"test:{n}": "npm run test:*" for n in range(9999)})),
        ("package.json", json.dumps({"scripts": {"test": "npm " * 200_000}})),
        ("package.json", json.dumps({"workspaces": ["**/" * 5000 + "x"]})),
        ("Makefile", "test: " + "a " * 200_000 + "\n\t" + "cd " * 200_000),
        ("tox.ini", "[testenv]\ncommands =\n" + "  python " + "-W x " * 50_000),
        ("setup.py", "-" * 500_000 + "1"),
        ("noxfile.py", "f(" * 5000),
        ("Makefile.am", "include Makefile.am\n"),
        ("Cargo.toml", "[workspace]\nmembers = ['" + "*/" * 50_000 + "']"),
    ],
    ids=["aliases", "patterns", "words", "stars", "needs", "options", "signs", "calls", "itself",
         "levels"],
)  # fmt: skip
def test_a_file_made_to_be_slow_is_read_in_bounded_time(path, content):
    files = {path: content, "a/Cargo.toml": "", "a/package.json": "{}", "test_a.py": content,
             "configure.ac": ""}  # fmt: skip
    for name in DETECTORS.names():
        detected(name, files)
