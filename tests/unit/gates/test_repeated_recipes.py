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


def commands(files: dict[str, str]) -> list[str | None]:
    plan = plan_of(files, GateProfile.MINIMAL)
    return [gate.command for gate in plan.gates]
