"""The sources of a tree that an edited `.gitignore` hides from linters. Pure.

Git keeps a tracked file whatever a `.gitignore` says. Many linters read the file by themselves, and
leave out what it matches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

from pathspec import GitIgnoreSpec

from orchestrator.gates.gate_files import is_source
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

_NAME = ".gitignore"
#: The limit of the work: the number of patterns times the number of paths.
_MOST_MATCHES = 5_000_000


def ignored_sources(changes: Sequence[FileChange], base: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each edited `.gitignore` that matches a source which it did not match.

    `base` are the sources of the base commit.
    """
    edited = [change for change in changes if PurePosixPath(change.path).name == _NAME]
    if not edited:
        return
    gone = {change.path for change in changes if change.after is None}
    own = {change.path for change in changes if change.after is not None}
    paths = sorted(filter(is_source, ({*base, *own} - gone)))
    for change in edited:
        top = change.path.removesuffix(_NAME)
        below = [path.removeprefix(top) for path in paths if path.startswith(top)]
        before, after = (_lines(side) for side in (change.before, change.after))
        if len(after) * len(below) > _MOST_MATCHES:
            yield _finding(change, "it has more patterns than are read")
        elif hidden := _matched(after, below) - _matched(before, below):
            yield _finding(change, f"linters leave out {top}{min(hidden)}, a source of the tree")


def _finding(change: FileChange, detail: str) -> Finding:
    return Finding(kind="check-config-edited", path=change.path, detail=detail)


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode(errors="replace").splitlines()


def _matched(lines: Sequence[str], paths: Sequence[str]) -> set[str]:
    kept: list[str] = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            # Git ignores a malformed pattern too.
            continue
        kept.append(line)
    return set(GitIgnoreSpec.from_lines(kept).match_files(paths))
