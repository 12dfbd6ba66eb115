"""Reads the refs of an agent's repository from its files, because git refuses a damaged one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from .job import Report, shown
from .naming import CHANGE, read_ref
from .repositories import common_dir

_ID = re.compile(rb"[0-9a-f]{40}")
_LINKS = 5
_ZERO = b"0" * 40
#: Files beside HEAD with commits of an unfinished operation, or from before it.
_PASSING = (
    b"MERGE_HEAD",
    b"CHERRY_PICK_HEAD",
    b"REVERT_HEAD",
    b"REBASE_HEAD",
    b"rebase-merge/orig-head",
    b"rebase-merge/onto",
    b"rebase-merge/stopped-sha",
    b"rebase-apply/orig-head",
    b"ORIG_HEAD",
    b"FETCH_HEAD",
    b"BISECT_EXPECTED_REV",
)
#: Files that show an unfinished operation.
_BEGUN = (
    (b"MERGE_HEAD", "a merge"),
    (b"CHERRY_PICK_HEAD", "a cherry-pick"),
    (b"REVERT_HEAD", "a revert"),
    (b"rebase-merge", "a rebase"),
    (b"rebase-apply/applying", "`git am`"),
    (b"rebase-apply/rebasing", "a rebase"),
    (b"rebase-apply/patch", "`git am`"),
    (b"sequencer/todo", "a cherry-pick or revert of several commits"),
    (b"BISECT_LOG", "a bisection"),
)


class Named:
    """A commit, the kind of object that holds it, and its name."""

    def __init__(self, kind: str, name: str, commit: bytes) -> None:
        self.kind = kind
        self.name = name
        self.commit = commit


class Linked:
    """A linked worktree: its name, its git folder, and its worktree folder."""

    def __init__(self, name: str, git_dir: bytes, folder: bytes) -> None:
        self.name = name
        self.git_dir = git_dir
        self.folder = folder


def read_head(git_dir: bytes, common: bytes | None = None) -> bytes | None:
    """Return the commit of HEAD, if there is one; `common` contains a linked worktree's refs."""
    content = _content(os.path.join(git_dir, b"HEAD"))
    common = common or common_dir(git_dir)
    for _ in range(_LINKS):
        if not content.startswith(b"ref: "):
            break
        content = _ref(common, content[5:].strip())
    found = content.strip()
    return found if _ID.fullmatch(found) else None


def read_refs(git_dir: bytes, report: Report) -> Iterator[Named]:
    """Yield every ref of a repository: branches first, stashes with all entries of their log.

    Commits that an earlier round retained have the name that they had there.
    """
    git_dir = common_dir(git_dir)
    refs = dict(_refs(git_dir, report))
    for name in sorted(refs, key=lambda name: (not name.startswith(b"refs/heads/"), name)):
        if name == b"refs/stash" or name == CHANGE.encode():
            continue
        kind, known = read_ref(shown(name)) or ("branch", shown(name))
        yield Named(kind, known, refs[name])
    yield from _stashes(git_dir, refs.get(b"refs/stash"))


def read_passing(git_dir: bytes) -> Iterator[Named]:
    """Yield the commits in the logs of refs and in the files of operations, newest first."""
    for name in _PASSING:
        for found in _ID.findall(_content(os.path.join(git_dir, name)))[:50]:
            yield Named("branch", shown(name), found)
    for path, name in _logs(git_dir):
        if name == b"refs/stash":
            continue
        for at, line in enumerate(reversed(_content(path).splitlines())):
            for found in line.split(b" ", 2)[:2]:
                if _ID.fullmatch(found) and found != _ZERO:
                    yield Named("branch", f"{shown(name)}@{{{at}}}", found)


def read_linked(git_dir: bytes) -> Iterator[Linked]:
    """Yield the linked worktrees of a repository, also those whose folder does not exist."""
    folder = os.path.join(common_dir(git_dir), b"worktrees")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        inner = os.path.join(folder, name)
        link = _content(os.path.join(inner, b"gitdir")).rstrip(b"\n")
        # Since git 2.48 the path may be relative.
        yield Linked(shown(name), inner, os.path.dirname(os.path.join(inner, link)))


def own_objects(git_dir: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the loose objects and the pack indexes of a repository's own store."""
    objects = os.path.join(common_dir(git_dir), b"objects")
    loose, packs = [], []
    for path in _files(objects):
        folder, name = os.path.split(os.path.relpath(path, objects))
        if folder == b"pack" and name.endswith(b".idx"):
            packs.append(path)
        elif _ID.fullmatch(folder + name):
            loose.append(folder + name)
    return loose, packs


def unfinished(git_dir: bytes) -> list[str]:
    """Return the names of the unfinished operations in a repository."""
    begun = [said for name, said in _BEGUN if os.path.lexists(os.path.join(git_dir, name))]
    return [f"{said} was begun and not finished" for said in dict.fromkeys(begun)]


def _logs(git_dir: bytes) -> Iterator[tuple[bytes, bytes]]:
    for folder in dict.fromkeys((git_dir, common_dir(git_dir))):
        logs = os.path.join(folder, b"logs")
        yield from ((path, os.path.relpath(path, logs)) for path in _files(logs))


def _stashes(git_dir: bytes, newest: bytes | None) -> Iterator[Named]:
    lines = reversed(_content(os.path.join(git_dir, b"logs/refs/stash")).splitlines())
    found = [parts[1] for parts in (line.split(b" ", 2) for line in lines) if len(parts) > 1]
    if newest and newest not in found:
        found.insert(0, newest)
    for at, commit in enumerate(found):
        if _ID.fullmatch(commit):
            yield Named("stash", f"stash@{{{at}}}", commit)


def _refs(git_dir: bytes, report: Report) -> Iterator[tuple[bytes, bytes]]:
    for line in _content(os.path.join(git_dir, b"packed-refs")).splitlines():
        commit, _, name = line.partition(b" ")
        if _ID.fullmatch(commit) and name.startswith(b"refs/"):
            yield name, commit
    for path in _files(os.path.join(git_dir, b"refs")):
        name = os.path.relpath(path, git_dir)
        content = _content(path).strip()
        if _ID.fullmatch(content):
            yield name, content
        elif not name.endswith(b".lock") and not content.startswith(b"ref: "):
            report.leave(name, "ref that cannot be read")


def _ref(git_dir: bytes, name: bytes) -> bytes:
    if not name.startswith(b"refs/") or b".." in name:
        return b""
    if loose := _content(os.path.join(git_dir, name)):
        return loose
    for line in _content(os.path.join(git_dir, b"packed-refs")).splitlines():
        commit, _, found = line.partition(b" ")
        if found == name:
            return commit
    return b""


def _files(folder: bytes) -> Iterator[bytes]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.join(where, name) for name in sorted(names))


def _content(path: bytes) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(64 * 2**20)
    except OSError:
        return b""
