"""Where manifests and lock files take check tools from, if not from a registry. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.gates.command_files import TOOLS
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

#: Packages that decide what a check says: runners, assertions, transforms and rules.
_NODE_TOOLS = TOOLS | {
    "typescript", "expect", "chai", "should", "sinon", "power-assert", "supertest", "nock",
    "ava", "tap", "jasmine", "karma", "cypress", "playwright", "fast-check", "tsd", "vue-tsc",
    "prettier", "biome", "oxlint", "stylelint", "xo", "standard", "istanbul", "ts-node",
    "ts-jest", "ts-mocha", "tsx",
}  # fmt: skip
_NODE_FAMILY = re.compile(
    r"(@(jest|vitest|playwright|testing-library|eslint|biomejs|babel|swc|types|typescript-eslint)/"
    r"|(jest|babel|vitest|mocha|chai|sinon|eslint|stylelint|prettier|karma|cypress|istanbul)-)[\w.-]"
)
_DEPENDENCIES = (
    "dependencies", "devDependencies", "optionalDependencies", "overrides", "resolutions",
)  # fmt: skip
#: A requirement of PEP 508 with an address: `pytest @ file:…`.
_WITH_ADDRESS = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]{0,200}\])?\s*@\s*(\S+)")
_PYTHON_FAMILIES = ("pytest-", "pytest_", "flake8-", "mypy-", "tox-", "nox-", "coverage-", "types-")
_ADDRESS_KEYS = frozenset({"path", "git", "url", "file", "workspace", "index", "source"})
#: Lines of a requirements file: another index, and a path or an address without a name.
_INDEX = re.compile(r"(-i|-f|--(extra-)?index-url|--find-links|--no-index|--trusted-host)\b")
_PATH_REQUIREMENT = re.compile(r"(?:-e|--editable)?[ =]{0,9}((?:\.{0,2}/|\w[\w.+-]*[:/])\S*)")
_REPLACE = re.compile(
    r"^\s*(?:replace\s+)?(\S+)(?:\s+v\S+)?\s+=>\s+(\S.*?)\s*(?://.*)?$", re.MULTILINE
)
#: A file of a Go module, whose path begins with a host, in a folder of copies.
_VENDORED = re.compile(r"(?:^|/)vendor/[\w-]+(?:\.[\w-]+)+/.+\.(?:go|s)$")
_VENDORED_LIST = "vendor/modules.txt"
_HOST = re.compile(r"https?://([^/]+)/")


def node_origins(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the tools that a package.json takes from an address, or whose name it has itself."""
    pnpm = manifest.get("pnpm") or {}
    groups = [manifest.get(group) or {} for group in _DEPENDENCIES]
    groups += [pnpm.get(group) or {} for group in ("overrides", "patchedDependencies")]
    # A version, a range or a tag contains neither sign; a path, an address or another package does.
    found = [
        (name, str(version))
        for versions in groups
        for name, version in versions.items()
        if _is_node_tool(name) and set(":/") & set(str(version)) and not _is_member(name, version)
    ]
    manager = str(manifest.get("packageManager", ""))
    # A member of a workspace is installed under its name.
    found += [("name", name) for name in (manifest.get("name"),) if name in _NODE_TOOLS]
    return found + [("packageManager", manager)] * (set(":/") <= set(manager))


def lock_origins(lock: Mapping[str, Any]) -> list[str]:
    """Return the hosts and the paths from which a lock of npm takes check tools."""
    packages = {**(lock.get("dependencies") or {}), **(lock.get("packages") or {})}
    found = set[str]()
    for path, entry in packages.items():
        address = str(entry.get("resolved", ""))
        name = path.rpartition("node_modules/")[2]
        if _is_node_tool(name) and address:
            host = _HOST.match(address)
            # A registry has the archives of a package below its name.
            found.add(host[1] if host and f"/{name}/-/" in address else address)
    return sorted(found)


def python_origins(document: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Return the check tools that a pyproject.toml takes from an address of their own."""
    found = [
        (name, address)
        for requirement in _strings(document.get("project"), document.get("dependency-groups"))
        if (match := _WITH_ADDRESS.match(requirement))
        for name, address in [match.groups()]
    ]
    backend = _own_backend(document)
    found += [
        (name, str(source))
        for table in _tables(document.get("tool"))
        for name, source in table.items()
        if _ADDRESS_KEYS & set(_keys(source))
    ]
    return backend + sorted(each for each in found if _is_tool(each[0])) or None


def _own_backend(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the folder of the tree whose program builds the project, if it names one."""
    system = document.get("build-system")
    if not isinstance(system, dict):
        return []
    path = system.get("backend-path")
    return [("build-backend", f"{path} {system.get('build-backend')}")] if path else []


def requirement_origins(text: str) -> list[str]:
    """Return the lines of a requirements file that take check tools, or all, from elsewhere."""
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return sorted(line for line in lines if _is_from_elsewhere(line))


def _is_from_elsewhere(line: str) -> bool:
    if named := _WITH_ADDRESS.match(line):
        return _is_tool(named[1])
    if _INDEX.match(line):
        return True
    path = _PATH_REQUIREMENT.match(line)
    name = re.split(r"[\[;@#]|\.git\b", path[1])[0].rstrip("/") if path else ""
    return _is_tool(re.split(r"-\d", name.rpartition("/")[2])[0])


def go_replacements(text: str) -> list[tuple[str, str]]:
    """Return the modules that a go.mod replaces by other ones or by folders."""
    return _REPLACE.findall(text)


def edited_copies(changes: Sequence[FileChange]) -> Iterator[Finding]:
    """Yield the edited files of vendored Go modules whose list names the same versions as before.

    `go mod vendor` changes the list if it changes a module.
    """
    if any(change.path.endswith(_VENDORED_LIST) for change in changes):
        return
    for change in changes:
        if _VENDORED.search(change.path) and change.after is not None:
            detail = "it differs from the module of which it is a copy"
            yield Finding(kind="tool-shadowed", path=change.path, detail=detail)


def _is_member(name: str, version: object) -> bool:
    """Return whether a package is one of the repository's own, such as its rules for eslint."""
    return name not in _NODE_TOOLS and str(version).startswith("workspace:")


def _is_node_tool(name: str) -> bool:
    bare = name if name.startswith("@") else name.partition("@")[0]
    return bare in _NODE_TOOLS or _NODE_FAMILY.match(bare) is not None


def _is_tool(name: str) -> bool:
    return name in TOOLS or name.lower().startswith(_PYTHON_FAMILIES)


def _keys(source: Any) -> Iterator[str]:
    for part in source if isinstance(source, list) else (source,):
        if isinstance(part, dict):
            yield from part


def _tables(table: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a table and all tables below it."""
    if isinstance(table, dict):
        yield table
        for part in table.values():
            yield from _tables(part)


def _strings(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            yield from _strings(*(value.values() if isinstance(value, dict) else value))
