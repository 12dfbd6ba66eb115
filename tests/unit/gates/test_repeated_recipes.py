"""A recipe of make that only repeats what another detector runs is not run a second time."""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_plan import plan_of

GO = {"go.mod": "module x\n", "a_test.go": "package a\n"}
TESTS = "go test -v ./..."


@pytest.mark.parametrize(
    "makefile",
    [
        (
            "test: deps\n\t$(info ** tests **)\n\tgo test -v $(GO_TEST_FLAGS) ./...\n"
            "deps:\n\tgo get -v ./...\n"
        ),
        "test:\n\tgo mod download\n\tgo test ${ARGS} ./...\n",
        "TESTARGS ?= -v\ntest:\n\t@go test $(TESTARGS) ./...\n",
    ],
)
def test_options_that_nobody_gives_and_installations_make_no_difference(makefile):
    assert commands({**GO, "Makefile": makefile}) == [TESTS]


@pytest.mark.parametrize(
    "makefile",
    [
        # Each of these runs something else too, or runs it otherwise.
        "GOFLAGS = -tags=slow\ntest:\n\tgo test $(GOFLAGS) ./...\n",
        "test:\n\tgo test $(PACKAGES)\n",
        "test:\n\tgo get x && ./more.sh\n\tgo test ./...\n",
        "test:\n\t$(info a) ./more.sh\n\tgo test ./...\n",
        "test: more\n\tgo test ./...\nmore:\n\t./more.sh\n",
    ],
)
def test_a_recipe_that_does_more_runs_too(makefile):
    assert commands({**GO, "Makefile": makefile}) == [TESTS, "make test"]


PYTHON = {
    "pyproject.toml": '[project]\nname = "x"\n[tool.pytest.ini_options]\n[tool.ruff]\n',
    "tests/test_a.py": "def test():\n    pass\n",
}
NODE = {"package.json": '{"scripts": {"test": "vitest"}}'}
SESSIONS = "test:\n\ttox\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (PYTHON, ["python3 -m pytest"]),
        # Nothing else runs the tests of these sessions.
        ({"tox.ini": "[testenv]\ncommands = python run.py\n"}, ["tox run -e py", "make test"]),
        (NODE, ["npm run --silent test", "make test"]),
        ({**NODE, "pyproject.toml": "[tool.ruff]\n"}, ["npm run --silent test", "make test"]),
    ],
)
def test_a_recipe_of_sessions_is_left_out_only_where_their_tests_run_without_them(files, expected):
    assert commands({**files, "Makefile": SESSIONS}) == expected


def test_a_session_of_a_linter_is_no_repetition_of_another_linter():
    files = {**PYTHON, "Makefile": "lint:\n\ttox -e lint\n"}
    assert commands(files, "lint") == ["ruff check .", "make lint"]


def test_a_line_that_is_only_options_is_read():
    makefile = "MODULE =\ntest:\n\tpython -m $(MODULE) -v\n"
    assert commands({**PYTHON, "Makefile": makefile}) == ["python3 -m pytest", "make test"]


def commands(files: dict[str, str], gate: str = "tests") -> list[str | None]:
    plan = plan_of(files, GateProfile.STANDARD)
    return [step.command for step in plan.gates if step.name == gate]
