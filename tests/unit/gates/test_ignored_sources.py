"""`orchestrator.gates.ignored_sources`: what a `.gitignore` hides from linters."""

from __future__ import annotations

import pytest

from orchestrator.gates.ignored_sources import ignored_sources
from orchestrator.interfaces.gate import FileChange

BASE = frozenset({"calc.py", "src/shop/cart.py", "build/made.py", "web/index.js"})


def found(path: str, before: str, after: str, *others: FileChange) -> list[str]:
    change = FileChange(path, before.encode(), after.encode())
    return [each.detail for each in ignored_sources([change, *others], BASE)]


@pytest.mark.parametrize(
    ("path", "before", "after", "hidden"),
    [
        (".gitignore", "*.log\n", "*.log\ncalc.py\n", "calc.py"),
        (".gitignore", "", "src/\n", "src/shop/cart.py"),
        (".gitignore", "*.py\n!calc.py\n", "*.py\n", "calc.py"),
        ("src/shop/.gitignore", "", "/cart.*\n", "src/shop/cart.py"),
    ],
)
def test_a_pattern_that_matches_a_source_is_found(path, before, after, hidden):
    assert found(path, before, after) == [f"linters leave out {hidden}, a source of the tree"]


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (".gitignore", "", "*.log\n/dist\n__pycache__/\n.venv\n"),
        (".gitignore", "build/\n", "build/\nout/\n"),
        ("web/.gitignore", "", "calc.py\n"),
        (".gitignore", "", "\\\n!\n"),
        ("src/.gitignore", "cart.py\n", ""),
    ],
)
def test_another_pattern_is_none(path, before, after):
    assert not found(path, before, after)


def test_new_sources_count_and_deleted_ones_do_not():
    new = FileChange("calc/sums.py", None, b"x")
    assert found(".gitignore", "", "sums.py\n", new)
    assert not found(".gitignore", "", "calc.py\n", FileChange("calc.py", b"x", None))


def test_more_patterns_than_are_read_are_a_finding(monkeypatch):
    monkeypatch.setattr("orchestrator.gates.ignored_sources._MOST_MATCHES", 7)
    assert found(".gitignore", "", "a\nb\n") == ["it has more patterns than are read"]
    assert not found(".gitignore", "", "a\n")
