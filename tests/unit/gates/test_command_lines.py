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
