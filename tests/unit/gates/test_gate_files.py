"""Which of the files that a gate read may decide its result: a table; nothing runs."""

from __future__ import annotations

import pytest

from orchestrator.gates.gate_files import KIND, gate_files
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

COMMANDS = ("check --plan=cases.csv src", "sh ci/run.sh")
FILES = frozenset({"ci/inner.sh"})
#: Files that stand in folders of sources.
DATA = frozenset({"src/words.txt", "src/.words"})
UNITTEST = "import unittest\n"
UNKNOWN = "it is neither a source nor a test"
HELPER = "it imports or extends a test runner or a check"
BY_NAME = "its name is that of a program or a configuration of tools"
TOOLS = "it is in a folder of tools"
PROGRAM = "it is a program file of the checks"
CONFIG = "it is a config file of the checks"


def change(path: str, before: str | None = "a\n", after: str | None = "b\n") -> FileChange:
    before, after = (None if side is None else side.encode() for side in (before, after))
    return FileChange(path, before, after)


def found(changes: list[FileChange], **reads: list[str]) -> tuple[Finding, ...]:
    return gate_files(changes, reads, COMMANDS, FILES, DATA)


def reason(one: FileChange, gate: str) -> str:
    """Return what the finding says of the file; empty if there is none."""
    details = [finding.detail for finding in found([one], **{gate: [one.path]})]
    return details[0].partition("of the base: ")[2] if details else ""


@pytest.mark.parametrize(
    ("one", "by_tests", "by_lint"),
    [
        (change("list.txt"), UNKNOWN, ""),
        (change("checks.toml"), UNKNOWN, UNKNOWN),
        (change("run", "", "#!/bin/sh\n"), UNKNOWN, UNKNOWN),
        (change("run", "#!/bin/sh\n", None), UNKNOWN, UNKNOWN),
        (change("run", None, ""), UNKNOWN, ""),
        (change("src/words.txt"), "", ""),
        (change("other/words.txt"), UNKNOWN, ""),
        (change("src/.words"), UNKNOWN, ""),
        (change("web/style.css"), "", ""),
        (change("README.md"), "", ""),
        (change("tools/README.md"), "", ""),
        (change("requirements.txt"), "", ""),
        (change("tools/Cargo.lock"), "", ""),
        (change("src/calc.py"), "", ""),
        (change("src/calc.py", None), "", ""),
        (change("src/calc.py", UNITTEST), HELPER, HELPER),
        (change("src/calc.py", None, UNITTEST), HELPER, HELPER),
        (change("notes.html", UNITTEST), "", ""),
        (change("setup.py"), BY_NAME, BY_NAME),
        (change("build.rs"), BY_NAME, BY_NAME),
        (change("tools/page.css"), TOOLS, ""),
        (change("tools/calc.py", "#!/usr/bin/python3\n"), TOOLS, ""),
        (change("src/fixtures.sql"), "its name is that of a part of tests", ""),
        (change("tests/words.txt"), "", ""),
        (change("src/calc.pyc"), "", ""),
        (change("tests/conftest.py"), "", ""),
        (change("ci/run.sh"), PROGRAM, PROGRAM),
        (change("ci/inner.sh"), PROGRAM, PROGRAM),
        (change("pytest.ini"), CONFIG, CONFIG),
        (change("cases.csv"), "a command names it in an option", ""),
        (change("plan/cases.csv"), "", ""),
    ],
    ids=lambda one: one.path if isinstance(one, FileChange) else "",
)  # fmt: skip
def test_what_a_file_is_to_the_gate_that_read_it(one, by_tests, by_lint):
    assert reason(one, "tests") == by_tests
    assert reason(one, "lint") == by_lint


def test_a_file_that_no_gate_read_decides_nothing():
    assert found([change("list.txt"), change("run")], tests=["run"]) == (
        Finding(
            kind=KIND,
            path="run",
            detail=f"the gate tests read it, and it is not that of the base: {UNKNOWN}",
        ),
    )


def test_all_gates_that_read_a_file_are_named():
    (one,) = found([change("list.txt")], tests=["list.txt"], lint=["list.txt"])
    assert one.detail.startswith("the gates lint, tests read it")


def test_the_number_of_findings_is_bounded_and_the_rest_counted():
    paths = [f"list-{number}.txt" for number in range(53)]
    shown = found([change(path) for path in paths], tests=paths)
    assert [one.path for one in shown] == [*paths[:50], paths[-1]]
    assert shown[-1].detail == "and 3 more, the last of them here"
    assert len(found([change(path) for path in paths[:50]], tests=paths)) == 50
