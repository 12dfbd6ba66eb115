"""Finds the repositories that an agent may have worked in, whatever it did with their folders."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from .job import Report

#: Deeper clones are not searched, and no more entries than this are read.
_DEEPEST = 6
_MOST_ENTRIES = 20_000
#: Folders of tools in a HOME; they contain clones that no agent worked in.
_OF_TOOLS = frozenset(
    (b".cache", b".cargo", b".rustup", b".npm", b".nvm", b".local", b"go", b"node_modules")
)
_SHA256 = re.compile(rb"(?im)^\s*objectformat\s*=\s*sha256\s*$")


def find_git_dir(worktree: bytes) -> bytes | None:
    """Return the git folder of a worktree, through a `.git` that is a file or a link."""
    open_folder(worktree)
    path = os.path.join(worktree, b".git")
    if os.path.isdir(path):
        return path
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            content = file.read(8192)
    except OSError:
        return None
    if not content.startswith(b"gitdir: "):
        return None
    target = os.path.join(worktree, content[8:].rstrip(b"\r\n"))
    return target if os.path.isdir(target) else None


def common_dir(git_dir: bytes) -> bytes:
    """Return the folder with the objects and refs: another one for a linked worktree."""
    try:
        with open(os.path.join(git_dir, b"commondir"), "rb") as file:
            found = os.path.join(git_dir, file.read(8192).rstrip(b"\r\n"))
    except OSError:
        return git_dir
    return os.path.normpath(found) if os.path.isdir(found) else git_dir


def unread_format(git_dir: bytes) -> str:
    """Return the format of a repository whose refs or objects the capture cannot read, or ''."""
    if _SHA256.search(_config(git_dir)):
        return "sha256"
    return "reftable" if os.path.isdir(os.path.join(git_dir, b"reftable")) else ""


def submodules(git_dir: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and git folder of the submodules that a repository has or had."""
    worktrees = os.path.join(git_dir, b"worktrees")
    for folder in (git_dir, *(os.path.join(worktrees, name) for name in _names(worktrees))):
        modules = os.path.join(folder, b"modules")
        for where, folders, _ in os.walk(modules):
            folders.sort()
            if _is_bare(where):
                yield os.path.relpath(where, modules), where
                # Below it only the submodules of this submodule are repositories.
                folders[:] = [name for name in folders if name == b"modules"]


def clones(root: bytes, worktree: bytes, report: Report) -> Iterator[bytes]:
    """Yield the folders below a workspace, outside its worktree, that contain a repository."""
    left = _MOST_ENTRIES
    level = [root]
    for _ in range(_DEEPEST):
        below: list[bytes] = []
        for folder in level:
            names = _names(folder)
            left -= len(names)
            if left < 0:
                what = f"more than {_MOST_ENTRIES} files outside the worktree: clones among them"
                report.leave(os.path.relpath(folder, root), what)
                return
            if folder != root and (b".git" in names or _is_bare(folder)):
                yield folder
                continue
            paths = (os.path.join(folder, name) for name in names if name not in _OF_TOOLS)
            below += [one for one in paths if one != worktree and _is_folder(one)]
        level = below


def open_folder(folder: bytes) -> None:
    """Let the owner of a folder list it and enter it."""
    try:
        mode = stat.S_IMODE(os.lstat(folder).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU and not os.path.islink(folder):
            os.chmod(folder, mode | stat.S_IRWXU)
    except OSError:
        pass  # reported where it is read


def open_repository(git_dir: bytes) -> None:
    """Let the owner of a repository read all its files."""
    open_folder(git_dir)
    for where, folders, names in os.walk(git_dir):
        for name in folders:
            open_folder(os.path.join(where, name))
        for name in names:
            path = os.path.join(where, name)
            try:
                mode = os.lstat(path).st_mode
                if stat.S_ISREG(mode) and not mode & stat.S_IRUSR:
                    os.chmod(path, stat.S_IMODE(mode) | stat.S_IRUSR)
            except OSError:
                pass  # reported where it is read


def _config(git_dir: bytes) -> bytes:
    try:
        with open(os.path.join(git_dir, b"config"), "rb") as file:
            return file.read(2**16)
    except OSError:
        return b""


def _is_bare(folder: bytes) -> bool:
    has_head = os.path.lexists(os.path.join(folder, b"HEAD"))
    return has_head and os.path.isdir(os.path.join(folder, b"objects"))


def _is_folder(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _names(folder: bytes) -> list[bytes]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
