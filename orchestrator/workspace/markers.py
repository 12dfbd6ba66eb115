"""Conflict markers that a change brings in: files that a merge left in two versions."""

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
    """Yield the changed files that hold more conflicts than they did.

    A conflict is the three markers in their order, each at the beginning of its line with nothing
    but a label behind it; so a heading that `=======` underlines is none.
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
