"""A Python environment with nothing but the tools that gates run.

The environment of this suite has many plugins of pytest, and each start of pytest in it takes some
seconds to import them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import venv
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

_TOOLS = ("pytest", "pytest-xdist", "coverage", "mypy", "ruff")


def tools_path() -> str:
    """Return a PATH on which the environment comes first."""
    # Commands that are no modules, such as ruff, are found in the environment of this suite.
    places = (str(tools_python().parent), str(Path(sys.prefix, "bin")), os.environ["PATH"])
    return os.pathsep.join(places)


@cache
def tools_python() -> Path:
    """Return the environment's Python; it lasts as long as this process."""
    root = Path(tempfile.mkdtemp(prefix="gate-tools."))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    venv.create(root, symlinks=True)
    (packages,) = root.glob("lib/python*/site-packages")
    for one in _with_requirements(_TOOLS, set()):
        for file in one.files or ():
            if file.parts[0] != ".." and not (target := packages / file).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(Path(str(one.locate_file(file))), target)
    return root / "bin" / "python3"


def _link(file: Path, target: Path) -> None:
    """Link a file, or copy it to another disk; coverage.py would measure what a link leads to."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def _with_requirements(names: tuple[str, ...], seen: set[str]) -> Iterator[Distribution]:
    """Yield the installed distributions of these names, and what they require."""
    for name in names:
        if name in seen:
            continue
        seen.add(name)
        one = distribution(name)
        yield one
        required = [Requirement(text) for text in one.requires or ()]
        needed = [each.name for each in required if not each.marker or each.marker.evaluate()]
        yield from _with_requirements(tuple(needed), seen)
