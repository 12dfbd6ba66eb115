"""The command lines that a repository declares: which are used, and which repeat others."""

from __future__ import annotations

import pytest

from tests.unit.gates.test_packages import units
from tests.unit.gates.test_plan import plan_of

PYPROJECT = "[tool.pytest.ini_options]\n[tool.ruff]\n[dependency-groups]\ndev = ['pytest']\n"


def command(files: dict[str, str], gate: str) -> str | None:
    plan = plan_of({"tests/test_a.py": "import pytest\n", **files})
    return next((one.command for one in plan.gates if one.name == gate), None)


def tox(line: str, rest: str = "") -> dict[str, str]:
    return {"tox.ini": f"[testenv:style]\ndeps = flake8\ncommands =\n  {line}\n{rest}"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (tox("flake8 --ignore=E501,F401 a/ b.py"), "flake8 --ignore=E501,F401 a/ b.py"),
        (tox("- flake8 a"), "flake8 a"),
        (tox("pip list\n  flake8 a"), "flake8 a"),
        # With a configuration of its own the tool decides what to check.
        (tox("flake8 a", "[flake8]\nmax-line-length = 120\n"), "flake8"),
        ({**tox("flake8 a"), "setup.cfg": "[flake8]\n"}, "flake8"),
        ({**tox("flake8 a"), ".flake8": "[flake8]\n"}, "flake8"),
        # A shell or tox would fill these in.
        (tox("flake8 {posargs:a}"), "flake8"),
        (tox("flake8 $HOME"), "flake8"),
        (tox("flake8 a; rm -rf b"), "flake8"),
        (tox("flake8 'a b'"), "flake8"),
    ],
)
def test_a_linter_without_a_configuration_runs_as_its_session_runs_it(files, expected):
    assert command(files, "lint") == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"tox.ini": "[testenv:types]\ncommands = mypy --strict src\n"}, "mypy --strict src"),
        ({"tox.toml": "[env.types]\ncommands = [['mypy', 'a']]\n"}, "mypy a"),
        ({"tox.ini": "[testenv:t]\ncommands = mypy a\n[mypy]\n", "mypy.ini": "[mypy]"}, "mypy ."),
    ],
)
def test_a_type_checker_without_a_configuration_runs_as_its_session_runs_it(files, expected):
    assert command(files, "typecheck") == expected


@pytest.mark.parametrize(
    ("recipe", "is_run"),
    [
        ("uv pip install -e .\n\truff check .\n\tpytest tests/", False),
        ("pip install -r requirements.txt\n\tpytest", False),
        ("python3 -m pip install .\n\tpytest", False),
        ("uv sync --all-extras\n\tuv run pytest", False),
        ("poetry install\n\tpoetry run pytest", False),
        # More than an installation, or a tool that no gate runs.
        ("pip install . && ./extra.sh\n\tpytest", True),
        ("pip install `./extra.sh`\n\tpytest", True),
        ("pip-audit\n\tpytest", True),
        ("flake8\n\tpytest", True),
        ("npm install-test\n\tpytest", True),
    ],
)
def test_a_recipe_that_installs_and_lints_before_its_tests_does_nothing_new(recipe, is_run):
    files = {"pyproject.toml": PYPROJECT, "Makefile": f"test:\n\t{recipe}\n"}
    files["tests/test_a.py"] = "import pytest\n"
    assert (("", "make test") in units(files)) is is_run
    assert ("", "python3 -m pytest") in units(files)


UNITTEST = "python3 -m unittest discover -s a/tests"
DJANGO = {
    "setup.py": "",
    "runtests.py": "",
    "a/tests/test_a.py": "import unittest\n\n\nclass T(unittest.TestCase):\n    pass\n",
}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["coverage run -a runtests.py {posargs}"], "python3 runtests.py"),
        (["{envpython} -Wd runtests.py --fast {posargs:a b}"], "python3 runtests.py --fast"),
        (
            ["sqlite: coverage run runtests.py", "my: python runtests.py --my"],
            "python3 runtests.py",
        ),
        (["flake8", "- python runtests.py"], "python3 runtests.py"),
        # Another file, or something that only tox can fill in.
        (["python run_tests.py"], UNITTEST),
        (["python runtests.py {envname}"], UNITTEST),
        (["python runtests.py; rm -rf a"], UNITTEST),
    ],
)
def test_the_tests_run_by_the_program_that_the_sessions_run(lines, expected):
    files = {**DJANGO, "tox.ini": "[testenv]\ncommands =\n" + "\n".join(f"  {x}" for x in lines)}
    assert units(files) == {("", expected)}


def test_the_program_for_tests_is_measured_too():
    text = "[testenv]\ndeps = coverage\ncommands = coverage run runtests.py\n"
    plan = plan_of({**DJANGO, "tox.ini": text})
    measured = [gate.command for gate in plan.gates if gate.name == "coverage"]
    assert measured == ["coverage run runtests.py && coverage json -o coverage.json"]


@pytest.mark.parametrize(
    ("files", "is_parallel"),
    [
        ({".coveragerc": "[run]\nparallel = true\n"}, True),
        ({".coveragerc": "[report]\nskip_covered = true\n"}, False),
        ({"setup.cfg": "[coverage:report]\nskip_covered = true\n"}, False),
        ({"tox.ini": "[coverage:run]\nparallel = True\n"}, True),
        ({"setup.cfg": "[options]\n"}, True),
    ],
)
def test_only_the_first_file_with_settings_of_coverage_counts(files, is_parallel):
    table = {"pyproject.toml": f"{PYPROJECT}[tool.coverage.run]\nparallel = true\n"}
    run = command({**table, **files}, "coverage")
    assert run is not None
    assert ("coverage combine" in run) is is_parallel


def test_pytest_takes_precedence_over_such_a_program():
    files = {**DJANGO, "tox.ini": "[pytest]\n[testenv]\ncommands = python runtests.py\n"}
    assert units(files) == {("", "python3 -m pytest")}


@pytest.mark.parametrize(
    ("recipe", "is_run"),
    [
        ("coverage erase\n\ttox\n\tcoverage html", False),
        ("tox\n\tcoverage html --fail-under=90", True),
        ("$(VENV)/bin/tox -e py311", False),
        ("nox -s tests", False),
        ("uv run tox", False),
        ("tox && ./more.sh", True),
        ("tox\n\t./more.sh", True),
        ("coverage run more.py", True),
        ("./bin/tox", True),
    ],
)
def test_a_recipe_that_only_runs_sessions_is_left_out_beside_the_tests_of_python(recipe, is_run):
    makefile = {"Makefile": f"test:\n\t{recipe}\n"}
    python = {**makefile, "pyproject.toml": PYPROJECT, "test_a.py": "import pytest\n"}
    assert (("", "make test") in units(python)) is is_run
    # Alone it is the only thing that says how to run the tests.
    assert units(makefile) == {("", "make test")}
