"""Go: the toolchain's own checks, and golangci-lint if it is configured."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with
from orchestrator.interfaces.gate import GateCommand

_MODULE, _WORKSPACE = "go.mod", "go.work"
_PROFILE = "coverage.out"
_COMMENT = re.compile(r"//.*$", re.MULTILINE)
_USE = re.compile(r"^[ \t]*use[ \t]*(?:\(([^)]*)\)|(\S+)[ \t]*$)", re.MULTILINE)
_LINTER = tuple(f".golangci.{ending}" for ending in ("yml", "yaml", "toml", "json"))


class Go:
    """Detects by go.mod: each module is checked in its own folder, in a workspace too."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders of modules and of workspaces."""
        return folders_with({_MODULE, _WORKSPACE}, paths)

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a Go module, and the modules that a workspace lists."""
        listed = frozenset(_used(files.text(_WORKSPACE), ""))
        if _MODULE not in files.paths:
            return Detected(listed=listed)
        # In the folders below a workspace, Go refuses the packages of modules outside it.
        alone = "GOWORK=off " if _is_outside_workspace(files) else ""
        linter = next((path for path in _LINTER if path in files.paths), None)
        commands = {
            "typecheck": GateCommand(f"{alone}go build ./...", source=_MODULE),
            "lint": GateCommand(f"{alone}golangci-lint run", source=linter)
            if linter
            else GateCommand(f"{alone}go vet ./...", source=_MODULE),
            # Without -v the output reports a package as ok that skipped all of its tests.
            "tests": GateCommand(f"{alone}go test -v ./...", source=_MODULE),
            "coverage": GateCommand(
                f"{alone}go test -coverprofile={_PROFILE} ./...", report=_PROFILE, source=_MODULE
            ),
            "build": GateCommand(f"{alone}go build ./...", source=_MODULE),
        }
        nested = tuple(f"{folder}/" for folder in folders_with({_MODULE}, files.paths) - {""})
        has_tests = any(
            path.endswith("_test.go") and not path.startswith(nested) for path in files.paths
        )
        return Detected(commands, listed=listed, has_tests=has_tests)


def _used(text: str, folder: str) -> Iterator[str]:
    """Yield the folders of the modules of a workspace in some folder; the root is empty."""
    for match in _USE.finditer(_COMMENT.sub("", text)):
        for path in (match[1] or match[2]).split():
            at = posixpath.normpath(posixpath.join(folder, path.strip('"`')))
            yield "" if at == "." else at


def _is_outside_workspace(files: BaseFiles) -> bool:
    """Return whether the nearest workspace around a module does not list it."""
    root, folder = files.outer or (files, "")
    for above in (folder, *map(str, PurePosixPath(folder).parents)):
        top = "" if above == "." else above
        path = f"{top}/{_WORKSPACE}".removeprefix("/")
        if path in root.paths:
            return folder not in _used(root.text(path), top)
    return False


def build(settings: object) -> Go:
    """Build the detector."""
    del settings
    return Go()
