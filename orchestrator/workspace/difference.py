"""How two commits differ, read by plumbing in a bare repository of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.ports import FileChange
from orchestrator.workspace.git import Git

GITLINK = "160000"
#: A longer patch is cut: who must read all of it reads the branch.
PATCH_CHARACTERS = 200_000
_ABSENT = "0" * 40


@dataclass(frozen=True)
class ChangedFile:
    """A file that differs; `mode` is the new one in octal, 000000 where it was removed.

    Bytes of the path that are not UTF-8 are shown as escapes: it is for people, not for opening.
    """

    path: str
    mode: str
    old_blob: str
    new_blob: str


def changed_files(git: Git, git_dir: Path, base: str, tip: str) -> tuple[ChangedFile, ...]:
    """Return every file that differs from `base` to `tip`; a rename counts as two."""
    raw = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", base, tip, git_dir=git_dir)
    return tuple(_parse(raw))


def changed_contents(git: Git, git_dir: Path, base: str, tip: str) -> tuple[FileChange, ...]:
    """Return every file that differs, with its content on both sides."""
    files = changed_files(git, git_dir, base, tip)
    blobs = {blob for file in files for blob in (file.old_blob, file.new_blob)} - {_ABSENT}
    held = dict(_read_blobs(git, git_dir, sorted(blobs)))
    return tuple(
        FileChange(file.path, held.get(file.old_blob), held.get(file.new_blob)) for file in files
    )


def patch(git: Git, git_dir: Path, base: str, tip: str) -> str:
    """Return the difference as a patch, cut to PATCH_CHARACTERS."""
    plain = ("-r", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    text = git.run("diff-tree", *plain, base, tip, git_dir=git_dir).decode(errors="replace")
    if len(text) <= PATCH_CHARACTERS:
        return text
    return f"{text[:PATCH_CHARACTERS]}\n[…{len(text) - PATCH_CHARACTERS} more characters]\n"


def summary(git: Git, git_dir: Path, base: str, tip: str) -> str:
    """Return the difference in numbers: a line for each file, and the sum."""
    plain = ("-r", "--stat=120", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    text = git.run("diff-tree", *plain, base, tip, git_dir=git_dir).decode(errors="replace")
    return text[:PATCH_CHARACTERS]


def _parse(raw: bytes) -> Iterator[ChangedFile]:
    # `:<old mode> <new mode> <old blob> <new blob> <status>`, NUL, path, NUL.
    fields = raw.split(b"\0")
    for meta, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, old_blob, new_blob, _ = meta.decode().split(" ")
        yield ChangedFile(path.decode(errors="backslashreplace"), mode, old_blob, new_blob)


def _read_blobs(git: Git, git_dir: Path, blobs: list[str]) -> Iterator[tuple[str, bytes]]:
    asked = "".join(f"{blob}\n" for blob in blobs).encode()
    answer = git.run("cat-file", "--batch", git_dir=git_dir, stdin=asked)
    position = 0
    for blob in blobs:
        # `<oid> <type> <size>`, newline, content, newline.
        end = answer.index(b"\n", position)
        size = int(answer[position:end].rpartition(b" ")[2])
        yield blob, answer[end + 1 : end + 1 + size]
        position = end + 2 + size
