"""Finds the program of a backend on this host, and the folders of the package it belongs to."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.errors import BackendUnavailable

_PACKAGES = "node_modules"


def find_program(name: str | Path, *, path: str | None, action: str) -> Path:
    """Return the path of a program, by its name on PATH or by its own path.

    Raises:
        BackendUnavailable: there is no such program; `action` says what to do.
    """
    found = shutil.which(name, path=path)
    if found is None:
        msg = f"There is no program {str(name)!r}."
        raise BackendUnavailable(msg, action=action)
    return Path(found)


def package_folder(program: Path) -> Path | None:
    """Return the outermost `node_modules` of a program that npm installed; None for any other.

    The packages below it may import one another, so a sandbox must show it whole.
    """
    real = program.resolve()
    if _PACKAGES not in real.parts:
        return None
    return Path(*real.parts[: real.parts.index(_PACKAGES) + 1])
