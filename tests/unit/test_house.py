"""The house stays as it was drawn: top level, sizes, names, headers, and what is shipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("orchestrator/**/*.py"), *ROOT.glob("workers/**/*.py")])
TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "Makefile", "README.md", "celeryconfig.py", "deploy",
    "docs", "orchestrator", "pyproject.toml", "tests", "workers",
}  # fmt: skip


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_nothing_else_stands_at_the_top():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {path.partition("/")[0] for path in listed.stdout.splitlines()} <= TOP_LEVEL


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_can_be_read_in_one_sitting(path):
    limit = 50 if path.parent.name == "tasks" else 350
    assert len(path.read_text().splitlines()) <= limit


def test_no_module_is_named_for_nothing():
    vague = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    assert not [relative(path) for path in SOURCES if path.stem in vague]


@pytest.mark.parametrize("path", sorted(ROOT.glob("orchestrator/**/*.lua")), ids=relative)
def test_a_script_says_its_keys_and_replies(path):
    head = path.read_text().split("\nlocal ", 1)[0]
    assert head.startswith("-- ")
    if not path.stem.startswith("_"):
        assert f"-- {path.stem}(" in head
        assert "KEYS[1]" in head
        assert ") -> " in head


def test_what_is_no_python_is_shipped_too(tmp_path):
    """A wheel without its scripts and prompts would fail only at its first agent."""
    import zipfile

    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
         "-w", str(tmp_path), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "orchestrator", "workers", "celeryconfig.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(listed.stdout.split()) <= shipped
