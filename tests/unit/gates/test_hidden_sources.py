"""`orchestrator.gates.hidden_sources`: new files that are found before a source of the base."""

from __future__ import annotations

import pytest

from orchestrator.gates.hidden_sources import hidden_sources
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import GateProfile
from tests.unit.gates.cheats.judging import Case, Judge, Repository
from tests.unit.gates.cheats.python import RIGHT, WRONG

BASE = frozenset({
    "src/shop/__init__.py", "src/shop/cart.py", "calc.py", "web/cart.ts", "web/vite.config.ts",
    "tests/shop.py", "index.js", "lib/index.js",
})  # fmt: skip


def found(*changes: FileChange) -> list[tuple[str, str]]:
    return [(each.path, each.detail) for each in hidden_sources(changes, BASE)]


def added(path: str) -> FileChange:
    return FileChange(path, None, b"x\n")


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("shop/__init__.py", "src/shop/__init__.py"),
        ("shop.py", "src/shop/__init__.py"),
        ("shop/cart.py", "src/shop/cart.py"),
        ("src/shop/cart/__init__.py", "src/shop/cart.py"),
        ("src/calc.py", "calc.py"),
        ("calc/__init__.py", "calc.py"),
        ("calc.pyi", "calc.py"),
        ("typings/calc.pyi", "calc.py"),
        ("shop-stubs/shop/cart.pyi", "src/shop/cart.py"),
        ("web/cart.js", "web/cart.ts"),
        ("web/cart.mjs", "web/cart.ts"),
    ],
)
def test_a_file_that_hides_a_source_is_found(path, hidden):
    assert found(added(path)) == [(path, f"it is found before {hidden}")]


@pytest.mark.parametrize(
    "path",
    [
        "src/shop/checkout.py",
        "shop.md",
        "tests/shop/__init__.py",
        "tests/test_calc.py",
        "web/index.js",
        "web/cart.d.ts",
        "web/vite.config.js",
        "docs/calc.js",
        "lib/calc.pyi",
        "lib.css",
        "lib/index.mjs",
    ],
)
def test_another_file_is_none(path):
    assert not found(added(path))


def test_a_module_hides_the_script_beside_it_only_from_a_change_of_both():
    module = added("lib/index.mjs")
    assert found(module, FileChange("lib/index.js", b"x\n", b"y\n"))
    assert not found(module, FileChange("index.js", b"x\n", b"y\n"))


def test_a_manifest_hides_only_the_index_of_a_folder_below_the_root():
    text = b'{"main": "cart.js"}'
    assert found(FileChange("lib/package.json", None, text))
    assert not found(FileChange("lib/config.json", None, text))
    assert not found(FileChange("package.json", None, text))


def test_a_source_that_moves_hides_nothing():
    gone = FileChange("calc.py", b"x\n", None)
    assert not found(added("calc/__init__.py"), gone)
    assert not found(added("src/calc.py"), gone)
    assert not found(FileChange("shop/__init__.py", b"", b"x\n"))


def test_the_tests_of_a_hidden_source_pass_and_strict_rejects_it(tmp_path):
    tested = "from shop import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
    files = {"src/shop/__init__.py": RIGHT, "tests/test_shop.py": tested}
    edits = {"src/shop/__init__.py": WRONG, "shop/__init__.py": RIGHT}
    case = Case("a copy", Repository("in src", files), edits)
    report = Judge.build(tmp_path).report(case, GateProfile.STRICT)
    assert [gate.status.value for gate in report.gates] == ["passed"]
    assert {finding.kind for finding in report.findings} == {"tool-shadowed"}
    assert not report.approved
