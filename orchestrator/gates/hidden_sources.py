"""The new files that tests and checks read instead of a source of the base. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from orchestrator.gates.deleted_tests import TEST_PATH
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

_TYPESCRIPT = (".ts", ".tsx", ".mts", ".cts")
_SCRIPT = re.compile(r"(?<!\.d)(?<!\.config)\.[cm]?jsx?$")
_SCRIPTS = (".js", ".mjs", ".cjs", ".jsx", *_TYPESCRIPT)
#: The suffixes that some runner searches after the first one. A package may have both files, so
#: that only a change of both counts.
_LATER = {".mjs": (".js",), ".mts": (".ts",), ".js": (".mjs", ".cjs", ".jsx"), ".ts": (".tsx",)}
#: The folders in which type checkers look for declarations of modules before the modules.
_STUBS = re.compile(r"^(typings|stubs?|types|type-stubs|[\w.-]*[_-]stubs)/(.+)$")
#: The keys of a package.json that name what its folder stands for.
_ENTRIES = ("main", "module", "browser", "exports")


def hidden_sources(changes: Sequence[FileChange], base: Container[str]) -> Iterator[Finding]:
    """Yield a finding for each new file that is found before a source which stays in the tree.

    The tests then check the new file, and the program may be built from the old one. `base` are
    the paths of the base commit.
    """
    gone = {change.path for change in changes if change.after is None}
    changed = {change.path for change in changes}
    for change in changes:
        if change.before is not None or TEST_PATH.search(change.path):
            continue
        names = (*_hidden_by(change.path), *_hidden_by_manifest(change), *_beside(change, changed))
        hidden = next((p for p in names if p in base and p not in gone), "")
        if hidden:
            detail = f"it is found before {hidden}"
            yield Finding(kind="tool-shadowed", path=change.path, detail=detail)


def _hidden_by(path: str) -> Iterable[str]:
    """Yield the paths that a file at this path would hide."""
    file = PurePosixPath(path)
    if file.suffix == ".py":
        is_package = file.name == "__init__.py"
        module = file.parent if is_package else file.with_suffix("")
        names = [f"{module}/__init__.py", f"{module}.py"]
        # The order of these two folders depends on how the tests are started.
        yield from names
        yield from (f"src/{name}" for name in names)
        yield from (name.removeprefix("src/") for name in names)
    elif file.suffix == ".pyi":
        yield str(file.with_suffix(".py"))
        if stub := _STUBS.match(path):
            name = stub[2].removesuffix("i")
            yield from (name, f"src/{name}")
    elif file.suffix in _SCRIPTS:
        if _SCRIPT.search(path):
            yield from (str(file.with_suffix(suffix)) for suffix in _TYPESCRIPT)
        yield from (f"{file.with_suffix('')}/index{suffix}" for suffix in _SCRIPTS)


def _hidden_by_manifest(change: FileChange) -> Iterator[str]:
    """Yield the files for which a folder stands, if its new package.json names another."""
    file = PurePosixPath(change.path)
    if file.name != "package.json" or len(file.parts) == 1:
        return
    try:
        manifest = json.loads(change.after or b"")
        entries = [str(manifest[key]) for key in _ENTRIES if key in manifest]
    except (ValueError, TypeError, RecursionError):
        return
    if any(PurePosixPath(entry).stem != "index" for entry in entries):
        yield from (str(file.with_name(f"index{suffix}")) for suffix in _SCRIPTS)


def _beside(change: FileChange, changed: Container[str]) -> Iterator[str]:
    """Yield the changed file beside a new one that some runners find first."""
    file = PurePosixPath(change.path)
    beside = (str(file.with_suffix(suffix)) for suffix in _LATER.get(file.suffix, ()))
    yield from (path for path in beside if path in changed)
