"""Conflict markers that a change adds: files with the two versions of a failed merge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.interfaces.gate import FileChange

_OURS, _MIDDLE, _THEIRS = b"<<<<<<<", b"=======", b">>>>>>>"


@dataclass(frozen=True)
class Marked:
    """A file with conflict markers, and the line of the first."""

    path: str
    line: int


def conflict_markers(files: Iterable[FileChange]) -> Iterator[Marked]:
    """Yield the changed files that contain more conflicts than before.

    A conflict is the three markers in order, each at the start of its line with at most a label
    after it. Therefore a heading that `=======` underlines is no conflict.
    """
    for file in files:
        if file.after is None or _OURS not in file.after:
            continue
        found = _conflicts(file.after)
        if len(found) > len(_conflicts(file.before or b"")):
            yield Marked(file.path, found[0])


def _conflicts(content: bytes) -> list[int]:
    """Return the line of each conflict's first marker."""
    found = []
    begun = middle = 0
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.startswith(_OURS + b" ") or line.rstrip(b"\r") == _OURS:
            begun, middle = number, 0
        elif begun and line.rstrip(b"\r") == _MIDDLE:
            middle = number
        elif middle and (line.startswith(_THEIRS + b" ") or line.rstrip(b"\r") == _THEIRS):
            found.append(begun)
            begun = middle = 0
    return found
