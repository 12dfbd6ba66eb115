"""Go: the toolchain's own checks, and golangci-lint if it is configured."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with
from orchestrator.interfaces.gate import GateCommand

_MODULE = "go.mod"
_LINTER = tuple(f".golangci.{ending}" for ending in ("yml", "yaml", "toml", "json"))


class Go:
    """Detects by go.mod: each module is checked in its own folder, in a workspace too."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders of modules."""
        return folders_with({_MODULE}, paths)

    def detect(self, files: BaseFiles) -> Detected:
        """Return the commands of a Go module."""
        if _MODULE not in files.paths:
            return Detected()
        linter = next((path for path in _LINTER if path in files.paths), None)
        commands = {
            "typecheck": GateCommand("go build ./...", source=_MODULE),
            "lint": GateCommand("golangci-lint run", source=linter)
            if linter
            else GateCommand("go vet ./...", source=_MODULE),
            # Without -v the output reports a package as ok that skipped all of its tests.
            "tests": GateCommand("go test -v ./...", source=_MODULE),
            "coverage": GateCommand(
                "go test -coverprofile=coverage.out ./...", report="coverage.out", source=_MODULE
            ),
            "build": GateCommand("go build ./...", source=_MODULE),
        }
        nested = tuple(f"{folder}/" for folder in self.folders(files.paths) if folder)
        has_tests = any(
            path.endswith("_test.go") and not path.startswith(nested) for path in files.paths
        )
        return Detected(commands, has_tests=has_tests)


def build(settings: object) -> Go:
    """Build the detector."""
    del settings
    return Go()
