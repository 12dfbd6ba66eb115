"""A C project with a configure script, its own or that of automake: its tests run after it."""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_plan import plan_of

BASE = {"configure": "#!/bin/sh\n", "a.c": ""}
BUILD = "./configure && make"


@pytest.mark.parametrize(
    ("makefile", "expected"),
    [
        ("check: test\n\ntest: all\n\t./t\n", f"{BUILD} && make check"),
        ("all:\n\ttrue\ntest : all\n\t./t\n", f"{BUILD} && make test"),
        # A variable is no target, and a recipe is no rule.
        ("test := x\nall:\n\ttest: y\n", None),
        ("testing:\n\ttrue\n", None),
    ],
)
def test_the_target_of_its_makefile_runs_after_the_script(makefile, expected):
    assert command_of({**BASE, "Makefile.in": makefile}) == expected


def test_the_build_of_a_sibling_tool_no_longer_blocks_it():
    files = {
        **BASE, "Makefile.in": "test:\n\t./t\n", "test/a_test.c": "", "CMakeLists.txt": "",
        "Makefile": "all:\n\t@echo run ./configure first\n",
    }  # fmt: skip
    assert command_of(files) == f"{BUILD} && make test"
    plan = plan_of(files, GateProfile.MINIMAL)
    assert not any(entry.blocks for entry in plan.not_judged)


@pytest.mark.parametrize("lacking", ["configure", "Makefile.in"])
def test_either_file_alone_says_nothing(lacking):
    files = {**BASE, "Makefile.in": "test:\n\t./t\n"}
    del files[lacking]
    assert command_of(files) is None


@pytest.mark.parametrize(
    ("number", "expected"),
    [(200, None), (400, "autoreconf -fi && ./configure && make && make check")],
)
def test_a_project_of_automake_with_too_many_files_to_read_is_taken_for_tested(number, expected):
    files = {f"d{each}/Makefile.am": "include common.mk\n" for each in range(number)}
    files |= {"configure.ac": "", "Makefile.am": "", "common.mk": ""}
    assert command_of(files) == expected


def command_of(files: dict[str, str]) -> str | None:
    plan = plan_of(files, GateProfile.MINIMAL)
    return next((gate.command for gate in plan.gates if gate.name == "tests"), None)
