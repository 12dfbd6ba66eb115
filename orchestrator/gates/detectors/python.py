"""Python: pytest where the repository says so, else unittest where it has tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from orchestrator.ports import GateCommand

_PYTEST = re.compile(rb"^\[tool\.pytest|^\[pytest\]|^\[tool:pytest\]|\bpytest\b", re.MULTILINE)


class Python:
    """Detects by the files that configure pytest."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a Python project."""
        for path in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
            if _PYTEST.search(read(path) or b""):
                return {"tests": GateCommand("python3 -m pytest -q")}
        if read("tests/__init__.py") is not None:
            return {"tests": GateCommand("python3 -m unittest -q")}
        return {}


def build(settings: object) -> Python:
    """Build the detector."""
    del settings
    return Python()
