"""The parts of manifests, such as pyproject.toml and package.json, that configure checks. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from orchestrator.gates.command_files import Steps
from orchestrator.gates.tool_origins import (
    go_replacements,
    lock_origins,
    node_origins,
    python_origins,
    requirement_origins,
)
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding
from orchestrator.repo_config.toml import read_toml, table_in

#: Parts that no test runner reads.
_NOT_FOR_TESTS = frozenset({
    "mypy", "ruff", "flake8", "pyright", "basedpyright", "ty", "pyrefly", "pylint", "isort",
    "black", "bandit", "pydocstyle", "pycodestyle", "codespell", "vulture", "interrogate",
    "importlinter", "eslintConfig", "eslintIgnore", "prettier", "stylelint", "xo", "standard",
    "lints",
})  # fmt: skip
#: Tables of pyproject.toml, sections of setup.cfg and keys of package.json that configure checks.
_JUDGES = _NOT_FOR_TESTS | {
    "orchestrator", "pytest", "coverage", "tox", "unittest", "nosetests", "behave", "jest",
    "vitest", "c8", "nyc", "mocha", "ava", "tap", "jasmine", "babel", "swc", "ts-node", "wireit",
    "nx", "tsd", "lint-staged", "size-limit", "typeCoverage", "remarkConfig",
}  # fmt: skip
#: The syntax of configparser: blanks may precede the heading, any text may follow it.
_INI_HEADING = re.compile(r"^[ \t]*\[(?:tool:)?(\w+)\b[^\]\n]*\]", re.MULTILINE)
_IGNORE = re.compile(r"^[ \t]{0,9}ignore[ \t]{1,9}(?:\([^)]{0,5000}\)|[^\s(]{1,300})", re.MULTILINE)
_REQUIREMENTS = re.compile(r"[\w.-]*(requirements|constraints)[\w.-]*\.(txt|in)")
#: Parts that this module computes.
_FROM_ELSEWHERE = "addresses of check tools"
_ENTRY_POINTS = "entry points of checks"
_TASKS = "tasks"
_KIND_OF_PART = {
    "orchestrator": "gate-config-edited",
    "scripts": "gate-command-edited",
    _TASKS: "gate-command-edited",
    _FROM_ELSEWHERE: "tool-shadowed",
}
#: Programs that run the tasks of a table of pyproject.toml, and the table.
_TASK_TABLES: Mapping[str, tuple[str, ...]] = {
    "poe": ("tool", "poe"),
    "task": ("tool", "taskipy"),
    "pdm": ("tool", "pdm", "scripts"),
    "hatch": ("tool", "hatch", "envs"),
    "rye": ("tool", "rye", "scripts"),
    "pixi": ("tool", "pixi"),
    "pipenv": ("scripts",),
}
#: Programs that run the entry of this name of a table, and the table.
_ENTRY_TABLES: Mapping[str, tuple[str, ...]] = {
    "poetry": ("tool", "poetry", "scripts"),
    "uv": ("project", "scripts"),
}
#: Managers of packages, whose own tables say what the project is; their tasks are above.
_MANAGERS = frozenset({*_TASK_TABLES, *_ENTRY_TABLES, "pip", "setuptools", "flit", "npm", "make"})
#: The groups of entry points with which a package adds itself to a check.
_PLUGIN_GROUPS = re.compile(r"pytest11|flake8\.\w+|coverage\S*|nose\S*|pylint\S*|hypothesis")


def edited_parts(change: FileChange, plan: Steps) -> Iterator[Finding]:
    """Yield each part of a file that configures a check and differs."""
    try:
        edited = _edited(change, plan, with_scripts=plan.uses_scripts)
    except _Unreadable as error:
        yield Finding(kind="check-config-edited", path=change.path, detail=f"unreadable: {error}")
        return
    for name in edited:
        kind = _KIND_OF_PART.get(name, "check-config-edited")
        yield Finding(kind=kind, path=change.path, detail=f"its part {name} differs")


def configures_tests(change: FileChange, plan: Steps) -> bool:
    """Return whether a part of a file that a test runner may read differs."""
    try:
        return bool(set(_edited(change, plan, with_scripts=True)) - _NOT_FOR_TESTS)
    except _Unreadable:
        return True


def parts_of_checks(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a package.json that configure checks."""
    return {name: part for name, part in manifest.items() if name in _JUDGES}


class _Unreadable(ValueError):
    """A side of the file has not the syntax of its kind."""


def _edited(change: FileChange, plan: Steps, *, with_scripts: bool) -> list[str]:
    name = PurePosixPath(change.path).name
    read = _reader(name)
    if read is None:
        return []
    try:
        before, after = (
            _parts(read, name, side.decode(errors="replace"), plan) if side else {}
            for side in (change.before, change.after)
        )
        watched = _JUDGES | _COMPUTED | ({"scripts"} if with_scripts else set())
        if name in ("pyproject.toml", "setup.cfg"):
            # A check that the module does not know has a table with the name of its program.
            watched |= plan.words - _MANAGERS
        return sorted(part for part in watched if before.get(part) != after.get(part))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _Unreadable(error) from error


def _reader(name: str) -> Callable[[str], dict[str, Any]] | None:
    return _READERS.get(name) or (_requirements if _REQUIREMENTS.fullmatch(name) else None)


def _requirements(text: str) -> dict[str, Any]:
    return {_FROM_ELSEWHERE: requirement_origins(text) or None}


def _parts(
    read: Callable[[str], dict[str, Any]], name: str, text: str, plan: Steps
) -> dict[str, Any]:
    parts = read(text)
    return {**parts, _TASKS: _tasks(read_toml(text), plan.words)} if name in _WITH_TASKS else parts


def _pyproject_parts(text: str) -> dict[str, Any]:
    document = read_toml(text)
    groups = {
        **table_in(document, "tool", "poetry", "plugins"),
        **table_in(document, "project", "entry-points"),
    }
    return {
        **table_in(document, "tool"),
        _ENTRY_POINTS: _plugins(groups),
        _FROM_ELSEWHERE: python_origins(document),
    }


def _cargo_parts(text: str) -> dict[str, Any]:
    document = read_toml(text)
    targets = [target for target in document.get("test", ()) if "required-features" in target]
    return {
        "lints": _some(document.get("lints"), table_in(document, "workspace").get("lints")),
        "test": _some(targets, table_in(document, "profile").get("test")),
        "workspace": table_in(document, "workspace").get("exclude"),
        _FROM_ELSEWHERE: _some(document.get("patch"), document.get("replace")),
    }


def _go_parts(text: str) -> dict[str, Any]:
    # The commands leave out the folders of `ignore`.
    ignored = _IGNORE.findall(text) or None
    return {_FROM_ELSEWHERE: go_replacements(text) or None, "workspace": ignored}


def _package_parts(text: str) -> dict[str, Any]:
    parts = json.loads(text)
    scripts = parts.get("scripts")
    if "npm_package_config" in str(scripts):
        scripts = (scripts, parts.get("config"))
    return {**parts, "scripts": scripts, _FROM_ELSEWHERE: node_origins(parts) or None}


def _lock_parts(text: str) -> dict[str, Any]:
    return {_FROM_ELSEWHERE: lock_origins(json.loads(text)) or None}


def _ini_sections(text: str) -> dict[str, Any]:
    """Return the text for each tool's name: all of its sections, with their headings."""
    sections: dict[str, list[str]] = {}
    # The readers of this file differ in what ends a line; a heading of any of them counts.
    text = "\n".join(text.splitlines())
    starts = list(_INI_HEADING.finditer(text))
    ends = [heading.start() for heading in starts[1:]]
    for heading, end in zip(starts, [*ends, len(text)], strict=False):
        sections.setdefault(heading[1], []).append(text[heading.start() : end])
    points = "\n".join(each for each in sections.get("options", ()) if "entry_points" in each)
    lines = [line for line in points.splitlines() if _PLUGIN_GROUPS.match(line.strip(" =\t"))]
    return {**sections, _ENTRY_POINTS: points if lines else None}


def _some(*values: Any) -> list[Any] | None:
    """Return the values that are there; None if there are none, as without the file."""
    return list(filter(None, values)) or None


def _tasks(document: Mapping[str, Any], words: Collection[str]) -> list[Any] | None:
    """Return what the programs of a plan run by the tables of a document."""
    tables = [table_in(document, *at) for word, at in _TASK_TABLES.items() if word in words]
    entries = (table_in(document, *at) for word, at in _ENTRY_TABLES.items() if word in words)
    named = [{key: table[key] for key in sorted(table) if key in words} for table in entries]
    return _some(*tables, *named)


def _plugins(groups: Mapping[str, Any]) -> dict[str, Any] | None:
    return {name: each for name, each in groups.items() if _PLUGIN_GROUPS.match(name)} or None


_WITH_TASKS = frozenset({"pyproject.toml", "Pipfile"})
_COMPUTED = frozenset({_FROM_ELSEWHERE, _ENTRY_POINTS, _TASKS, "test", "workspace"})
_READERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "pyproject.toml": _pyproject_parts,
    "Pipfile": read_toml,
    "Cargo.toml": _cargo_parts,
    "go.mod": _go_parts,
    "package.json": _package_parts,
    "package-lock.json": _lock_parts,
    "npm-shrinkwrap.json": _lock_parts,
    "setup.cfg": _ini_sections,
}
#: The names of the files whose parts this module reads.
READ_MANIFESTS = frozenset(_READERS)
