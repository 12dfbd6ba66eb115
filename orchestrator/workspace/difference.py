"""Which files differ between two commits, read by plumbing in a bare repository of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspace.git import Git

GITLINK = "160000"


@dataclass(frozen=True)
class ChangedFile:
    """A file that differs; `mode` is the new one in octal, 000000 where it was removed.

    Bytes of the path that are not UTF-8 are shown as escapes: it is for people, not for opening.
    """

    path: str
    mode: str


def changed_files(git: Git, git_dir: Path, base: str, tip: str) -> tuple[ChangedFile, ...]:
    """Return every file that differs from `base` to `tip`; a rename counts as two."""
    raw = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", base, tip, git_dir=git_dir)
    fields = raw.split(b"\0")
    return tuple(
        ChangedFile(path.decode(errors="backslashreplace"), meta.split(b" ")[1].decode())
        for meta, path in zip(fields[::2], fields[1::2], strict=False)
    )
