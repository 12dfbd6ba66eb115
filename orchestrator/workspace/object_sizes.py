"""The unpacked size of a change, computed from its objects without a listing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspace.git import Git

_GITLINK = b"160000 "


@dataclass(frozen=True)
class Extent:
    """The number of files of a tree, and the sum of their bytes."""

    files: int
    size: int


@dataclass(frozen=True)
class Added:
    """The bytes of new objects, and the bytes of the folders among them."""

    size: int
    folders: int


def added(git: Git, git_dir: Path, base: str, tip: str) -> Added:
    """Measure every object from `base` to `tip`, also those of intermediate commits."""
    listed = git.run("rev-list", "--objects", "--no-object-names", tip, f"^{base}", git_dir=git_dir)
    sizes = [(kind, size) for _, kind, size in _described(git, git_dir, listed)]
    folders = sum(size for kind, size in sizes if kind == "tree")
    return Added(sum(size for _, size in sizes), folders)


def extents(git: Git, git_dir: Path, trees: tuple[str, ...]) -> tuple[Extent, ...]:
    """Return the extent of each tree; a folder that occurs several times counts each time.

    The work depends on the number of distinct objects only: a tree of a few kilobytes may have more
    files than any listing could finish.
    """
    asked = ("rev-list", "--objects", "--no-object-names", *trees)
    listed = git.of_objects(*asked, git_dir=git_dir)
    known: dict[str, Extent] = {}
    folders = []
    for oid, kind, size in _described(git, git_dir, listed):
        if kind == "tree":
            folders.append(oid)
        else:
            known[oid] = Extent(1, size)
    entries = dict(_read_trees(git, git_dir, folders))
    # An explicit stack, because the author of a tree chooses its depth.
    waiting = list(trees)
    while waiting:
        tree = waiting[-1]
        if tree in known:
            waiting.pop()
            continue
        if unknown := {oid for oid in entries[tree] if oid not in known}:
            waiting += unknown
            continue
        inner = [known[oid] for oid in entries[tree]]
        known[tree] = Extent(sum(each.files for each in inner), sum(each.size for each in inner))
        waiting.pop()
    return tuple(known[tree] for tree in trees)


def _described(git: Git, git_dir: Path, oids: bytes) -> Iterator[tuple[str, str, int]]:
    """Return id, type and size of each object."""
    asked = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    answer = git.of_objects("cat-file", asked, git_dir=git_dir, stdin=oids)
    for line in answer.decode().splitlines():
        oid, kind, size = line.split(" ")
        yield oid, kind, int(size)


def _read_trees(git: Git, git_dir: Path, oids: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Return the entries of each tree, without gitlinks."""
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    answer = git.of_objects("cat-file", "--batch", git_dir=git_dir, stdin=asked)
    position = 0
    for oid in oids:
        # `<oid> tree <size>`, newline, content, newline.
        start = answer.index(b"\n", position) + 1
        end = start + int(answer[position : start - 1].rpartition(b" ")[2])
        held = []
        while start < end:
            # `<mode> <name>`, NUL, the id in 20 bytes.
            name_end = answer.index(b"\0", start)
            if not answer.startswith(_GITLINK, start):
                held.append(answer[name_end + 1 : name_end + 21].hex())
            start = name_end + 21
        yield oid, held
        position = end + 1
