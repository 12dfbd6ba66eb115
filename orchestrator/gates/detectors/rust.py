"""Rust: the checks of Cargo; it measures no coverage, so that gate must be configured."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with, is_member
from orchestrator.interfaces.gate import GateCommand
from orchestrator.models import NotJudged
from orchestrator.repo_config.toml import table_in

_MANIFEST = "Cargo.toml"
_TEST = re.compile(r"#\[(?:\w+::)*\w*test\w*\b")
_DOC_TEST = re.compile(r"^\s*//[/!]\s*```", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/")
#: Limits for one package, which bound the work.
_MOST_READ = 60


class Rust:
    """Detects by Cargo.toml: a workspace is checked with its members, other packages alone."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders of packages and of workspaces."""
        return folders_with({_MANIFEST}, paths)

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a Cargo package or workspace."""
        if _MANIFEST not in files.paths:
            return Detected()
        manifest = _manifest(files, "")
        if "cargo-fuzz" in table_in(manifest, "package", "metadata"):
            reason = "a package of fuzz targets, which run for ever"
            return Detected(not_judged=(NotJudged(path=_MANIFEST, reason=reason),))
        members = frozenset(_members(files, manifest)) if "workspace" in manifest else frozenset()
        # Without --workspace a root package excludes its members; without -D warnings clippy passes
        # with any warning.
        commands = {
            "typecheck": "cargo check --workspace --all-targets",
            "lint": "cargo clippy --workspace --all-targets -- -D warnings",
            "tests": "cargo test --workspace",
            "build": "cargo build --workspace",
        }
        return Detected(
            {gate: GateCommand(command, source=_MANIFEST) for gate, command in commands.items()},
            members=members,
            has_tests=_has_tests(files, members),
        )


def _manifest(files: BaseFiles, folder: str) -> Mapping[str, Any]:
    return files.document(f"{folder}/{_MANIFEST}" if folder else _MANIFEST)


def _members(files: BaseFiles, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the folders of a workspace's members: the listed ones, and their dependencies."""
    workspace = table_in(manifest, "workspace")
    listed, excluded = (
        [str(entry) for entry in value] if isinstance(value := workspace.get(key), list) else []
        for key in ("members", "exclude")
    )
    folders = folders_with({_MANIFEST}, files.paths)
    todo = ["", *(folder for folder in folders if is_member(folder, listed))]
    seen = set[str]()
    while todo:
        at = todo.pop()
        if at in seen or any(at == out or at.startswith(f"{out}/") for out in excluded):
            continue
        seen.add(at)
        todo += _dependencies(_manifest(files, at), at, table_in(workspace, "dependencies"))
    yield from seen - {""}


def _dependencies(manifest: Mapping[str, Any], at: str, shared: Mapping[str, Any]) -> Iterator[str]:
    """Yield the folders of the dependencies of a package that have a path.

    `shared` are those of the workspace, whose paths begin at its root.
    """
    for table in (manifest, *table_in(manifest, "target").values()):
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, wanted in table_in(table, kind).items():
                if not isinstance(wanted, dict):
                    continue
                is_shared = wanted.get("workspace") is True
                place = table_in(shared, name) if is_shared else wanted
                if isinstance(path := place.get("path"), str):
                    yield _joined("" if is_shared else at, path)


def _joined(at: str, path: str) -> str:
    parts: list[str] = []
    for part in (*PurePosixPath(at).parts, *PurePosixPath(path).parts):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
    return "/".join(parts)


def _has_tests(files: BaseFiles, members: Collection[str]) -> bool:
    nested = folders_with({_MANIFEST}, files.paths) - {"", *members}
    others = tuple(f"{folder}/" for folder in nested)
    own = [path for path in files.paths if path.endswith(".rs") and not path.startswith(others)]
    # If the sources are elsewhere, or too many to read, the tests run.
    return (
        not own
        or len(own) > _MOST_READ
        or any(_is_tested(files.text(path)) for path in sorted(own))
    )


def _is_tested(text: str) -> bool:
    return bool(_DOC_TEST.search(text) or _TEST.search(_COMMENT.sub("", text)))


def build(settings: object) -> Rust:
    """Build the detector."""
    del settings
    return Rust()
