"""The differences between commits, read by plumbing: no filter, textconv or attribute applies."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.interfaces.gate import FileChange
from orchestrator.workspace.git import Git

GITLINK = "160000"
#: A longer patch is cut; the branch contains all of it.
PATCH_CHARACTERS = 200_000
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
#: A larger blob is never read into memory; `changed_contents` gives it as empty.
BLOB_LIMIT_BYTES = 10 * 2**20
ABSENT = "0" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
#: A stash with untracked files: its commit, its index and those files.
_STASH_PARENTS = 3


@dataclass(frozen=True)
class ChangedFile:
    """A file that differs; `mode` is the new mode in octal, 000000 if the file was removed.

    Bytes of the path that are not UTF-8 are escaped: the path is for display, not for opening.
    """

    path: str
    mode: str
    old_blob: str
    new_blob: str
    old_mode: str = ""


@dataclass(frozen=True)
class RawEntry:
    """One entry of git's `--raw -z` output, as bytes that git accepts again."""

    old_mode: bytes
    old_blob: bytes
    mode: bytes
    new_blob: bytes
    path: bytes


def changed_files(git: Git, git_dir: Path, base: str, tip: str) -> tuple[ChangedFile, ...]:
    """Return every file that differs from `base` to `tip`; a rename counts as two."""
    asked = ("diff-tree", "-r", "-z", "--raw", "--no-renames", base, tip)
    raw = git.of_objects(*asked, git_dir=git_dir)
    return tuple(parse_raw(raw))


def changed_contents(git: Git, git_dir: Path, base: str, tip: str) -> tuple[FileChange, ...]:
    """Return every file that differs, with its content on both sides.

    A side over BLOB_LIMIT_BYTES, or one that is no blob of this repository, is empty. A check
    treats its lines as removed. A submodule has its pin as content, in the words of git's patches.
    """
    files = changed_files(git, git_dir, base, tip)
    blobs = {blob for file in files for blob in (file.old_blob, file.new_blob)} - {ABSENT}
    small = {
        blob for blob, size in object_sizes(git, git_dir, blobs).items() if size <= BLOB_LIMIT_BYTES
    }
    pins = {file.old_blob for file in files if file.old_mode == GITLINK}
    pins |= {file.new_blob for file in files if file.mode == GITLINK}
    held = {**dict.fromkeys(blobs, b""), **read_objects(git, git_dir, small)}
    held |= {pin: f"Subproject commit {pin}\n".encode() for pin in pins}
    return tuple(
        FileChange(file.path, held.get(file.old_blob), held.get(file.new_blob)) for file in files
    )


def text_patch(git: Git, git_dir: Path, base: str, tip: str) -> str:
    """Return the difference as a patch for readers, uncut."""
    plain = ("-r", "-p", *_PLAIN)
    return git.run("diff-tree", *plain, base, tip, git_dir=git_dir).decode(errors="replace")


def patch(git: Git, git_dir: Path, base: str, tip: str) -> str:
    """Return the difference as a patch for readers, cut to PATCH_CHARACTERS."""
    text = text_patch(git, git_dir, base, tip)
    if len(text) <= PATCH_CHARACTERS:
        return text
    return f"{text[:PATCH_CHARACTERS]}\n[…{len(text) - PATCH_CHARACTERS} more characters]\n"


def whole_patch(git: Git, git_dir: Path, base: str, tip: str) -> bytes:
    """Return the difference as a patch that `git apply` accepts."""
    plain = ("-r", "-p", "--binary", "--full-index", *_PLAIN)
    return git.run("diff-tree", *plain, base, tip, git_dir=git_dir)


def ranges(git: Git, git_dir: Path, base: str, commit: str) -> list[tuple[str, str]]:
    """Return the pairs of trees whose differences are the work of a commit beside the change.

    A commit of another history is compared with the empty tree. The untracked files of a stash are
    in its third parent, which has a history of its own.
    """
    listed = git.run("rev-list", "--max-count=1", "--parents", commit, git_dir=git_dir)
    parents = listed.decode().split()[1:]
    shared = git.attempt("merge-base", base, commit, git_dir=git_dir)
    found = [(base if shared.exit_code == 0 else EMPTY_TREE, commit)]
    if len(parents) == _STASH_PARENTS and shared.exit_code == 0:
        third = git.attempt("merge-base", base, parents[2], git_dir=git_dir)
        found += [(EMPTY_TREE, parents[2])] if third.exit_code else []
    return found


def summary(git: Git, git_dir: Path, base: str, tip: str) -> str:
    """Return a summary of the difference: a line for each file, and the sum."""
    plain = ("-r", "--stat=120", *_PLAIN)
    text = git.run("diff-tree", *plain, base, tip, git_dir=git_dir).decode(errors="replace")
    return text[:PATCH_CHARACTERS]


def shown_path(path: bytes) -> str:
    """Return a path for display; bytes that are not UTF-8 are escaped."""
    return path.decode(errors="backslashreplace")


def parse_raw(raw: bytes) -> Iterator[ChangedFile]:
    """Yield each file of `--raw -z` output."""
    for entry in parse_raw_paths(raw):
        old_mode, mode, old_blob, blob = (
            part.decode() for part in (entry.old_mode, entry.mode, entry.old_blob, entry.new_blob)
        )
        yield ChangedFile(shown_path(entry.path), mode, old_blob, blob, old_mode)


def parse_raw_paths(raw: bytes) -> Iterator[RawEntry]:
    """Yield each entry of `--raw -z` output, with the bytes of its path."""
    # `:<old mode> <new mode> <old blob> <new blob> <status>`, NUL, path, NUL.
    fields = raw.split(b"\0")
    for meta, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, mode, old_blob, new_blob, _ = meta.split(b" ")
        yield RawEntry(old_mode.removeprefix(b":"), old_blob, mode, new_blob, path)


def object_sizes(git: Git, git_dir: Path, objects: Collection[str]) -> dict[str, int]:
    """Return the size in bytes of each existing object, without reading any."""
    asked = "".join(f"{name}\n" for name in objects).encode()
    shape = "--batch-check=%(objectname) %(objectsize)"
    lines = git.of_objects("cat-file", shape, git_dir=git_dir, stdin=asked).decode().splitlines()
    # git prints `<name> missing` for an object that does not exist.
    parts = (line.split(" ") for line in lines)
    return {name: int(size) for name, size in parts if size.isdecimal()}


def read_objects(git: Git, git_dir: Path, objects: Collection[str]) -> dict[str, bytes]:
    """Return the content of each object; all of them must exist."""
    names = list(objects)
    asked = "".join(f"{name}\n" for name in names).encode()
    answer = git.of_objects("cat-file", "--batch", git_dir=git_dir, stdin=asked)
    contents, position = {}, 0
    for name in names:
        # `<oid> <type> <size>`, newline, content, newline.
        end = answer.index(b"\n", position)
        size = int(answer[position:end].rpartition(b" ")[2])
        contents[name] = answer[end + 1 : end + 1 + size]
        position = end + 2 + size
    return contents
