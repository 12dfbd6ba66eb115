"""The sources of a tree that the commands of a package leave out since a change. Pure.

Go's `./...` ends at a folder with a go.mod, and a package manager runs the members of a workspace.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

#: The number of members of a workspace that are read; it bounds the work.
_MOST = 500


def left_out_sources(changes: Sequence[FileChange], base: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each manifest since which commands leave out a source.

    `base` are the sources of the base commit.
    """
    gone = {change.path for change in changes if change.after is None}
    for change in changes:
        is_left_out = _RULES.get(PurePosixPath(change.path).name, _no_rule)(change)
        top = str(PurePosixPath(change.path).parent)
        top = "" if top == "." else f"{top}/"
        below = (path for path in base if path.startswith(top) and path not in gone)
        left = next((path for path in below if is_left_out(path.removeprefix(top))), "")
        if left:
            detail = f"commands for the tree above leave out {left}"
            yield Finding(kind="check-config-edited", path=change.path, detail=detail)


def _no_rule(_: FileChange) -> Callable[[str], bool]:
    return lambda _: False


def _of_go(change: FileChange) -> Callable[[str], bool]:
    is_nested = change.before is None and "/" in change.path
    return lambda path: is_nested and path.endswith(".go")


def _of_npm(change: FileChange) -> Callable[[str], bool]:
    before, after = (_members(side) for side in (change.before, change.after))
    return lambda path: _matches(path, before) and not _matches(path, after)


def _members(content: bytes | None) -> tuple[str, ...]:
    try:
        members: Any = json.loads(content or b"").get("workspaces")
        members = members.get("packages") if isinstance(members, dict) else members
        return tuple(str(member).removeprefix("./").rstrip("/") for member in members[:_MOST])
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()


def _matches(path: str, members: Sequence[str]) -> bool:
    """Return whether a file is below a member; the sign `!` takes members out again."""
    found = False
    for member in members:
        if fnmatchcase(path, f"{member.removeprefix('!').removeprefix('./')}/*"):
            found = not member.startswith("!")
    return found


_RULES = {"go.mod": _of_go, "package.json": _of_npm}
