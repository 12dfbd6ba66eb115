"""The parts of pyproject.toml, setup.cfg and package.json that configure checks. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from orchestrator.gates.command_files import TOOLS
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding
from orchestrator.repo_config.toml import read_toml

#: Tables of pyproject.toml, sections of setup.cfg and keys of package.json that configure checks.
_JUDGES = frozenset({
    "orchestrator", "pytest", "coverage", "mypy", "ruff", "flake8", "pyright", "pylint", "tox",
    "jest", "vitest", "c8", "nyc", "mocha", "eslintConfig",
})  # fmt: skip
#: The syntax of configparser: blanks may precede the heading, any text may follow it.
_INI_HEADING = re.compile(r"^[ \t]*\[(?:tool:)?(\w+)\b[^\]\n]*\]", re.MULTILINE)
#: A part that this module computes: the tools in package.json that come from an address of their
#: own.
_FROM_ELSEWHERE = "addresses of check tools"
_KIND_OF_PART = {
    "orchestrator": "gate-config-edited",
    "scripts": "gate-command-edited",
    _FROM_ELSEWHERE: "tool-shadowed",
}
_DEPENDENCIES = (
    "dependencies", "devDependencies", "optionalDependencies", "overrides", "resolutions",
)  # fmt: skip


#: Parts that no test runner reads.
_NOT_FOR_TESTS = frozenset({"mypy", "ruff", "flake8", "pyright", "pylint", "eslintConfig"})


def edited_parts(change: FileChange, *, with_scripts: bool) -> Iterator[Finding]:
    """Yield each part of a file that configures a check and differs."""
    try:
        edited = _edited(change, with_scripts=with_scripts)
    except _Unreadable as error:
        yield Finding(kind="check-config-edited", path=change.path, detail=f"unreadable: {error}")
        return
    for name in edited:
        kind = _KIND_OF_PART.get(name, "check-config-edited")
        yield Finding(kind=kind, path=change.path, detail=f"its part {name} differs")


def configures_tests(change: FileChange) -> bool:
    """Return whether a part of a file that a test runner may read differs."""
    try:
        return bool(set(_edited(change, with_scripts=True)) - _NOT_FOR_TESTS)
    except _Unreadable:
        return True


class _Unreadable(ValueError):
    """A side of the file has not the syntax of its kind."""


def _edited(change: FileChange, *, with_scripts: bool) -> list[str]:
    readers: dict[str, Callable[[str], dict[str, Any]]] = {
        "pyproject.toml": lambda text: read_toml(text).get("tool", {}),
        "package.json": _package_parts,
        "setup.cfg": _ini_sections,
    }
    read = readers.get(PurePosixPath(change.path).name)
    if read is None:
        return []
    try:
        before, after = (
            read(side.decode(errors="replace")) if side else {}
            for side in (change.before, change.after)
        )
        watched = _JUDGES | {_FROM_ELSEWHERE} | ({"scripts"} if with_scripts else set())
        return sorted(name for name in watched if before.get(name) != after.get(name))
    except (ValueError, AttributeError, RecursionError) as error:
        raise _Unreadable(error) from error


def _package_parts(text: str) -> dict[str, Any]:
    parts = json.loads(text)
    judges = TOOLS | {"typescript"}
    wanted = (parts.get(group) or {} for group in _DEPENDENCIES)
    # A version, a range or a tag contains neither sign; a path, an address or another package does.
    elsewhere = [
        (name, str(version))
        for versions in wanted
        for name, version in versions.items()
        if name in judges and set(":/") & set(str(version))
    ]
    return {**parts, _FROM_ELSEWHERE: elsewhere or None}


def _ini_sections(text: str) -> dict[str, list[str]]:
    """Return the text for each tool's name: all of its sections, with their headings."""
    sections: dict[str, list[str]] = {}
    # The readers of this file differ in what ends a line; a heading of any of them counts.
    text = "\n".join(text.splitlines())
    starts = list(_INI_HEADING.finditer(text))
    ends = [heading.start() for heading in starts[1:]]
    for heading, end in zip(starts, [*ends, len(text)], strict=False):
        sections.setdefault(heading[1], []).append(text[heading.start() : end])
    return sections
