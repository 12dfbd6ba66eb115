"""The new files that tests and checks read instead of a source of the base. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from orchestrator.gates.deleted_tests import TEST_PATH
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

_TYPESCRIPT = (".ts", ".tsx", ".mts", ".cts")
_SCRIPT = re.compile(r"(?<!\.d)(?<!\.config)\.[cm]?jsx?$")


def hidden_sources(changes: Sequence[FileChange], base: Container[str]) -> Iterator[Finding]:
    """Yield a finding for each new file that is found before a source which stays in the tree.

    The tests then check the new file, and the program may be built from the old one. `base` are
    the paths of the base commit.
    """
    gone = {change.path for change in changes if change.after is None}
    for change in changes:
        is_new = change.before is None and change.after is not None
        if not is_new or change.path in base or TEST_PATH.search(change.path):
            continue
        hidden = next((p for p in _hidden_by(change.path) if p in base and p not in gone), "")
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
        others = [f"src/{name}" for name in names] + [name.removeprefix("src/") for name in names]
        yield from (name for name in (*names, *others) if name != path)
    elif file.suffix == ".pyi":
        yield str(file.with_suffix(".py"))
    elif _SCRIPT.search(path):
        yield from (str(file.with_suffix(suffix)) for suffix in _TYPESCRIPT)
