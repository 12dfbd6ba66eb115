"""`orchestrator.gates.suppressions`: lines that switch off a checker, or name one rule of it."""

from __future__ import annotations

import pytest

from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange


def kinds(path: str, before: str | None, after: str | None) -> set[str]:
    sides = (None if side is None else side.encode() for side in (before, after))
    return {each.kind for each in find_tampering([FileChange(path, *sides)], ())}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.js", "/* eslint-disable , */"), ("a.js", "f(); // eslint-disable-line ''"),
        ("a.js", "// @ts-expect-error"), ("a.js", "// $FlowIgnore"), ("a.py", "f()  # nosemgrep"),
        ("a.js", "// biome-ignore lint/suspicious: it is fine"),
        ("a.py", "f()  # noqa: it is fine"), ("a.py", "f()  # noqa: F"),
        ("a.py", "f()  # noqa: ALL"), ("a.py", "x = ''  # type: ignore[]"),
        ("a.py", "# pylint: disable=E"), ("a.py", "# pylint: disable=unused-import,W"),
        ("a.py", "# pylint: disable-next=all"), ("a.py", "@t.no_type_check"),
        ("a.py", "from typing import no_type_check as n"), ("a.py", "n = typing.no_type_check"),
        ("a.go", "f() //nolint:all"), ("a.go", "//lint:file-ignore * fine"),
        ("a.go", "//revive:disable"), ("a.sh", "# shellcheck disable=all"),
        ("a.scss", "/* stylelint-disable */"), ("a.md", "<!-- markdownlint-disable -->"),
        ("a.yml", "# yamllint disable-file"), ("a.rb", "x # rubocop:disable all"),
        ("a.php", "// phpcs:ignoreFile"), ("A.java", '@SuppressWarnings("all")'),
        ("a.sql", "select 1 -- noqa"), ("a.cpp", "int a; // NOLINT"),
    ],
)  # fmt: skip
def test_a_line_that_switches_off_each_rule_is_found(path, line):
    assert kinds(path, "", f"{line}\n") == {"suppression-added"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.js", "/* eslint-disable no-undef */"), ("a.js", 'x = "eslint-disable", 1;'),
        ("a.js", "// eslint-disable-next-line 'no-undef'"), ("a.test-d.js", "// @ts-expect-error"),
        ("a.js", "// biome-ignore lint/suspicious/noDebugger: of the host"),
        ("a.py", "f()  # noqa: F821 - of the host"), ("a.py", "f()  # noqa:E501,F401"),
        ("a.py", "f()  # ruff: ignore[F821]"), ("a.py", "# pylint: disable=unused-import, c-x"),
        ("a.py", "x = ''  # type: ignore[x]"), ("a.go", "f() //nolint:errcheck"),
        ("a.go", "//revive:disable-next-line:exported why"),
        ("a.go", "//lint:ignore U1000 of the host"), ("a.sh", "# shellcheck disable=SC2034"),
        ("a.scss", "/* stylelint-disable-next-line color-named */"), ("a.md", "NOLINT"),
        ("a.rb", "x # rubocop:disable Style/X"), ("A.java", '@SuppressWarnings("unchecked")'),
        ("a.cpp", "int a; // NOLINT(x)"), ("a.sql", "select 1 -- noqa: LT01"),
    ],
)  # fmt: skip
def test_a_line_that_names_a_rule_is_none(path, line):
    assert not kinds(path, "", f"{line}\n")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.js", "// @ts-check"), ("a.js", "/* @flow strict */"), ("a.py", "# pyright: strict"),
        ("a.py", "# mypy: strict"), ("a.py", "# mypy: disallow-untyped-defs"),
    ],
)  # fmt: skip
def test_a_line_that_asks_for_more_may_not_go(path, line):
    assert kinds(path, f"{line}\nx\n", "x\n") == {"suppression-added"}
    assert not kinds(path, f"{line}\nx\n", f"y\n{line}\n")
    assert not kinds(path, f"{line}\nx\n", None)


def test_a_line_that_asked_for_less_may_go():
    assert not kinds("a.py", "# mypy: ignore-errors\n# mypy: allow-any-expr\nx\n", "x\n")
