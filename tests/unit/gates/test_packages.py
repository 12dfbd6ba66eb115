"""Every package and language of a base commit is judged, or named: none is dropped in silence."""

from __future__ import annotations

import json

import pytest

from orchestrator.gates.packages import MOST_PACKAGES
from orchestrator.gates.plan import Plan
from orchestrator.models import GateProfile
from tests.unit.gates.test_plan import plan_of

UNITTEST = "import unittest\nclass TestA(unittest.TestCase):\n    def test(self): pass\n"
FUNCTION = "def test():\n    pass\n"
PYPROJECT = '[project]\nname = "x"\n[dependency-groups]\ndev = ["pytest"]\n'
CRATE = '[package]\nname = "x"\nversion = "1.0.0"\n'


def package(_extra: dict[str, object] | None = None, **scripts: str) -> str:
    return json.dumps({"name": "x", "scripts": scripts, **(_extra or {})})


def steps(plan: Plan, gate: str = "tests") -> set[tuple[str, str | None]]:
    return {(step.folder, step.command) for step in plan.gates if step.name == gate}


def units(files: dict[str, str]) -> set[tuple[str, str | None]]:
    return steps(plan_of(files, GateProfile.MINIMAL))


def named(files: dict[str, str], profile: GateProfile = GateProfile.MINIMAL) -> set[str]:
    return {entry.path for entry in plan_of(files, profile).not_judged}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # A Node test beside pytest.
        (
            {
                "pyproject.toml": PYPROJECT, "tests/test_a.py": FUNCTION,
                "package.json": package(test="node --test"),
            },
            {("", "python3 -m pytest"), ("", "npm run --silent test")},
        ),
        # A backend beside the package.json of the root, with and without a project of its own.
        (
            {
                "package.json": package(test="node --test"),
                "backend/pyproject.toml": PYPROJECT,
                "backend/tests/test_a.py": FUNCTION,
            },
            {("backend", "python3 -m pytest"), ("", "npm run --silent test")},
        ),
        (
            {"package.json": package(test="node --test"), "backend/test_a.py": UNITTEST},
            {("backend", "python3 -m unittest"), ("", "npm run --silent test")},
        ),
        (
            {"package.json": package(test="node --test"), "api/src/tests/test_a.py": FUNCTION},
            {("api", "python3 -m pytest"), ("", "npm run --silent test")},
        ),
        # A target of make beside Cargo.toml.
        (
            {"Cargo.toml": CRATE, "src/lib.rs": "#[test]\nfn a(){}",
             "Makefile": "test:\n\t./t.sh\n"},
            {("", "cargo test --workspace"), ("", "make test")},
        ),
        # Modules of Go each have a folder of their own, in a workspace too.
        (
            {
                "go.work": "use ./a\nuse ./b\n", "a/go.mod": "", "a/a_test.go": "",
                "b/go.mod": "", "b/b_test.go": "",
            },
            {("a", "go test -v ./..."), ("b", "go test -v ./...")},
        ),
        # One small crate does not stand for a project in C.
        (
            {"Cargo.toml": CRATE, "src/lib.rs": "#[test]\nfn a(){}", "main.c": "",
             "Makefile": "check:\n\tsh t/run.sh\n"},
            {("", "cargo test --workspace"), ("", "make check")},
        ),
        # The tests below a project are its own.
        (
            {"go.mod": "", "api/pyproject.toml": PYPROJECT, "api/lib/test_a.py": FUNCTION},
            {("api", "python3 -m pytest")},
        ),
        (
            {"go.mod": "", "tests/pyproject.toml": PYPROJECT, "tests/test_a.py": FUNCTION},
            {("tests", "python3 -m pytest")},
        ),
        # Two levels down, beside each other.
        (
            {"libs/a/pyproject.toml": PYPROJECT, "libs/a/test_a.py": FUNCTION,
             "apps/web/package.json": package(test="vitest")},
            {("libs/a", "python3 -m pytest"), ("apps/web", "npm run --silent test")},
        ),
        # A workspace below the root, with members and with modules of their own.
        (
            {"web/package.json": package({"workspaces": ["a"]}),
             "web/a/package.json": package(test="x")},
            {("web", "npm run --silent test -w a")},
        ),
        (
            {"svc/go.work": "use ./a/b\n", "svc/a/b/go.mod": "", "svc/a/b/b_test.go": ""},
            {("svc/a/b", "go test -v ./...")},
        ),
        # A recipe of the root runs in another folder than the tests of a package below.
        (
            {"Makefile": "test:\n\tpytest\n", "api/pyproject.toml": PYPROJECT,
             "api/tests/test_a.py": FUNCTION},
            {("", "make test"), ("api", "python3 -m pytest")},
        ),
        # A Makefile whose recipe for tests is left out stands for no other tests.
        (
            {"go.mod": "", "Makefile": "test:\n\tgo test ./...\nlint:\n\t./lint.sh\n"},
            {("", "go test -v ./...")},
        ),
    ],
)  # fmt: skip
def test_each_package_has_its_own_command_in_its_own_folder(files, expected):
    assert units(files) == expected


def test_the_members_of_a_cargo_workspace_are_run_from_its_root_and_others_alone():
    test = "#[test]\nfn a() {}"
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\nexclude = ["crates/own"]\n',
        "crates/a/Cargo.toml": CRATE + '[dependencies]\nb = {path = "../../b"}\n',
        "crates/a/src/lib.rs": test,
        "b/Cargo.toml": CRATE,
        "b/src/lib.rs": test,
        "crates/own/Cargo.toml": CRATE,
        "crates/own/src/lib.rs": test,
        "fuzz/Cargo.toml": CRATE + "[package.metadata]\ncargo-fuzz = true\n",
    }
    command = "cargo test --workspace"
    assert units(files) == {("", command), ("crates/own", command)}
    assert named(files) == {"fuzz/Cargo.toml"}


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": "pytest", "app.py": "# pytest, make test, npm test\n"},
        {"pyproject.toml": "# pytest\n[project]\ndescription = 'better than pytest and mypy'\n"},
        {"Makefile": "# test: all\n.PHONY: test\nhelp:\n\t@echo 'make test: runs pytest'\n"},
        {"package.json": package({"description": "test"}, start="echo jest")},
        {"noxfile.py": "# session.run('pytest')\n'pytest'\n"},
        {"noxfile.py": "@a.cache\n@cache\ndef tests(session):\n session.run('./x')\n"},
        {"tox.ini": "# pytest\n[tox]\nenvlist = py\n"},
        {"tox.ini": "[testenv]\ndeps = x\n"},
        {"tox.ini": "[base]\ncommands = ./x\n[testenv:docs]\ncommands = {[base]commands}\n"},
        {"manage.py": "from django.core.management import execute_from_command_line\n"},
        {"setup.py": "# tests_require=['pytest']\nsetup(description='pytest')\n"},
        {"requirements.txt": "# pytest\nrequests  # not pytest\n"},
        {"docs/dev-requirements.txt": "pytest\n"},
        {"Makefile.am": "# TESTS = x\n", "configure.ac": ""},
        {".pre-commit-config.yaml": "# - id: mypy\nrepos: []\n"},
    ],
)
def test_a_mention_is_no_way_to_run_tests(files):
    assert units(files) == {("", None)}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"tests/test_a.py": UNITTEST}, "python3 -m unittest discover -s tests"),
        ({"test_a.py": UNITTEST}, "python3 -m unittest"),
        ({"test_a.py": "class A: pass\n" + UNITTEST}, "python3 -m unittest"),
        ({"a_test.py": UNITTEST}, "python3 -m unittest discover -s '' -p '*_test.py'"),
        ({"tests/a_test.py": UNITTEST}, "python3 -m unittest discover -s tests -p '*_test.py'"),
        ({"tests/test_a.py": FUNCTION}, "python3 -m pytest"),
        ({"tests/test_a.py": "from pytest import raises\n" + UNITTEST}, "python3 -m pytest"),
        ({"tests/test_a.py": "class TestA:\n def test(self): pass\n"}, "python3 -m pytest"),
        # A root that is itself a package, as those of plug-ins are.
        ({"__init__.py": "", "tests/test_a.py": FUNCTION}, "python3 -m pytest"),
        (
            {"setup.cfg": "", "a/test_a.py": UNITTEST, "b/b_test.py": UNITTEST},
            "python3 -m unittest discover -s a && python3 -m unittest discover -s b -p '*_test.py'",
        ),
        (
            {
                "a/test_a.py": UNITTEST,
                "setup.cfg": "",
                "b/__init__.py": "",
                "b/test_b.py": UNITTEST,
            },
            "python3 -m unittest && python3 -m unittest discover -s a",
        ),
        ({"tox.ini": "[testenv]\ncommands = python run.py"}, "tox run -e py"),
        ({"tox.ini": "[testenv]\ncommands = {envpython} -m pytest {posargs}"}, "python3 -m pytest"),
        (
            {"noxfile.py": "@nox.session(name='tests')\ndef t(s):\n print(1)\n s.run('./x')\n"},
            "nox -s tests",
        ),
        (
            {"noxfile.py": "@nox.session\ndef t(s):\n s.run('coverage', 'run', '-m', 'pytest')\n"},
            "python3 -m pytest",
        ),
        ({"pyproject.toml": "[tool.uv]\ndev-dependencies = ['pytest>=8']"}, "python3 -m pytest"),
        (
            {"pyproject.toml": "[tool.poetry.group.test.dependencies]\npytest = '*'"},
            "python3 -m pytest",
        ),
        (
            {"pyproject.toml": "[project.optional-dependencies]\nt = ['pytest']"},
            "python3 -m pytest",
        ),
        ({"setup.py": "setup(tests_require=['pytest'] if v < 3 else [])"}, "python3 -m pytest"),
        ({"package.json": package({"packageManager": "bun@1"}, test="x")}, "bun run --silent test"),
        ({"package.json": package(**{"test:unit": "x"})}, "npm run --silent test:unit"),
        ({"package.json": package(**{"check:test": "x"})}, "npm run --silent check:test"),
        (
            {"Makefile.am": "TESTS = x\n", "configure.ac": ""},
            "autoreconf -fi && ./configure && make && make check",
        ),
    ],
)
def test_how_tests_are_run_is_read_from_the_files_that_say_it(files, command):
    assert units(files) == {("", command)}


@pytest.mark.parametrize(
    "script", ["type-tests", "check:types", "check-types", "test:types", "types:check"]
)
def test_scripts_that_check_types_are_the_gate_typecheck(script):
    plan = plan_of({"package.json": package(**{script: "tsc", "test": "x"})})
    assert steps(plan, "typecheck") == {("", f"npm run --silent {script}")}
    assert not plan.not_judged


def test_a_script_that_runs_others_stands_for_them():
    plan = plan_of({"package.json": package(
        typecheck="run-s 'check:*'", **{"check:a": "npm run type-tests", "type-tests": "tsc"}
    )})  # fmt: skip
    assert steps(plan, "typecheck") == {("", "npm run --silent typecheck")}


@pytest.mark.parametrize(
    ("recipe", "is_run"),
    [
        ("pytest -v --cov=x tests", False),
        ("@echo testing\n\tpython -m pytest", False),
        ("uv run pytest -n auto", False),
        ("$(PYTHON) -m pytest", False),
        ("", False),
        ("pytest -m slow", True),
        ("pytest && ./extra.sh", True),
        ("./extra.sh", True),
        ("$(MAKE) -C sub test", True),
    ],
)
def test_a_target_that_only_does_what_is_done_is_not_done_twice(recipe, is_run):
    files = {"pyproject.toml": PYPROJECT, "Makefile": f"test:\n\t{recipe}\n"}
    assert (("", "make test") in units(files)) is is_run


def test_a_package_with_tests_and_no_way_to_run_them_makes_the_gate_missing():
    files = {
        "pyproject.toml": PYPROJECT + "[tool.ruff]\n",
        "web/package.json": package(build="x"),
        "web/src/a.test.ts": "",
    }
    plan = plan_of(files, GateProfile.MINIMAL)
    assert (("", None)) in steps(plan)
    assert steps(plan_of(files), "lint") == {("", "ruff check .")}
    hint = next(gate.hint for gate in plan.gates if gate.command is None)
    assert "web/package.json" in hint
    configured = {**files, "orchestrator.toml": "[gates]\ntests = 'x'"}
    assert units(configured) == {("", "x")}
    assert not named(configured)


def test_what_a_gate_leaves_out_is_named():
    files = {
        "pyproject.toml": PYPROJECT + "[tool.mypy]\n[tool.pytest.ini_options]\ntestpaths = ['t']\n",
        "t/test_a.py": FUNCTION,
        "other/test_b.py": FUNCTION,
        "web/package.json": package(**{"test": "x", "check:licenses": "x", "test:watch": "x"}),
        "deep/er/and/deeper/go.mod": "",
        "vendor/go.mod": "",
        "tool/go.mod": "",
    }
    plan = plan_of(files, GateProfile.STANDARD)
    entries = {(entry.path, entry.gate) for entry in plan.not_judged}
    assert entries >= {
        ("other", "tests"), ("web", "typecheck"), ("web/package.json", None),
        ("deep/er/and/deeper", None), ("vendor", None), ("tool", "tests"),
    }  # fmt: skip
    assert len(entries) == len(plan.not_judged)
    assert ("tool", "go test -v ./...") not in steps(plan)
    assert ("tool", "go vet ./...") in steps(plan, "lint")


def test_a_file_that_a_command_in_a_folder_runs_is_known_by_its_path():
    files = {
        "web/package.json": package(test="node run.js"),
        "noxfile.py": "@nox.session\ndef tests(session):\n session.run('./x')\n",
        "orchestrator.toml": "[gates]\nlint = [{command = 'sh check.sh', folder = 'web'}]",
    }
    assert plan_of(files).files >= {"web/run.js", "web/check.sh", "noxfile.py"}


def test_of_a_makefile_below_the_root_only_the_tests_run():
    """Its other targets are parts of a build that begins at the root."""
    files = {
        "pyproject.toml": PYPROJECT + "[tool.ruff]\n",
        "docs/Makefile": "test:\n\t./links\nlint:\n\t./spelling\nbuild:\n\tsphinx-build\n",
    }
    plan = plan_of(files)
    assert ("docs", "make test") in steps(plan)
    assert steps(plan, "lint") == {("", "ruff check .")}
    assert steps(plan, "build") == {("", None)}


def test_more_packages_than_the_limit_are_only_named():
    folders = [f"m{number:03}" for number in range(MOST_PACKAGES + 2)]
    files = {f"{folder}/{name}": "" for folder in folders for name in ("go.mod", "a_test.go")}
    assert {folder for folder, _ in units(files)} == set(folders[:MOST_PACKAGES])
    assert named(files) == set(folders[MOST_PACKAGES:])


def test_parts_that_no_gate_checks_are_counted_where_they_are_too_many_to_name():
    folders = [f"m{number:03}" for number in range(MOST_PACKAGES + 60)]
    files = {f"{folder}/{name}": "" for folder in folders for name in ("go.mod", "a_test.go")}
    *first, last = plan_of(files, GateProfile.MINIMAL).not_judged
    assert {entry.path for entry in first} == set(folders[MOST_PACKAGES:-10])
    assert (last.path, last.reason) == ("", "and 10 more, not named here")
