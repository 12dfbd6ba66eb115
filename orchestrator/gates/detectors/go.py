"""Go: the toolchain's own checks, and golangci-lint where it is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.interfaces.gate import GateCommand

_LINTER = tuple(f".golangci.{ending}" for ending in ("yml", "yaml", "toml", "json"))


class Go:
    """Detects by go.mod."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a Go module."""
        if read("go.mod") is None:
            return {}
        has_linter = any(read(path) is not None for path in _LINTER)
        return {
            "typecheck": GateCommand("go build ./..."),
            "lint": GateCommand("golangci-lint run" if has_linter else "go vet ./..."),
            # Without -v a package that skipped all of its tests is ok.
            "tests": GateCommand("go test -v ./..."),
            "coverage": GateCommand(
                "go test -coverprofile=coverage.out ./...", report="coverage.out"
            ),
            "build": GateCommand("go build ./..."),
        }


def build(settings: object) -> Go:
    """Build the detector."""
    del settings
    return Go()
