"""A workspace's folders, and a worktree that borrows the objects of a bare repository."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspace.git import Git

#: git's own template makes these.
_FOLDERS = ("info", "hooks")
#: Attributes of a commit would change the text that is checked out. This file has precedence over
#: every `.gitattributes`, and `!` makes an attribute unspecified again.
_NO_ATTRIBUTES = "* !text !eol !crlf !ident !filter !working-tree-encoding\n"


def materialise(
    git: Git, worktree: Path, *, source: Path, commit: str, has_attributes: bool = True
) -> None:
    """Make `worktree` a clean repository of its own at `commit`, detached and without a remote.

    It has the folders `info` and `hooks`, which tools expect although git does not need them. It
    borrows the objects of the bare repository `source`, which must outlive it. Without attributes
    each file is written exactly as its blob is.

    Raises:
        DiskFull: the disk is full.
        GitFailed: git could not check it out.
    """
    git_dir = worktree / ".git"
    new_repository(git, worktree)
    borrow_objects(git_dir, source)
    (git_dir / "HEAD").write_text(f"{commit}\n", encoding="ascii")
    if not has_attributes:
        turn_attributes_off(git_dir)
    check_out(git, worktree, commit)


def new_repository(git: Git, worktree: Path) -> None:
    """Make a folder that is an empty repository with a worktree."""
    git_dir = worktree / ".git"
    worktree.mkdir()
    tree = {"GIT_WORK_TREE": str(worktree)}
    git.run("init", "--quiet", "--template=", git_dir=git_dir, env=tree)
    for folder in _FOLDERS:
        (git_dir / folder).mkdir(exist_ok=True)


def turn_attributes_off(git_dir: Path) -> None:
    """Let git write the files of a checkout exactly as its blobs are."""
    information = git_dir / "info"
    information.mkdir(exist_ok=True)
    (information / "attributes").write_text(_NO_ATTRIBUTES, encoding="ascii")


def borrow_objects(git_dir: Path, source: Path) -> None:
    """Let a repository use the objects of another."""
    information = git_dir / "objects" / "info"
    information.mkdir(exist_ok=True)
    (information / "alternates").write_text(f"{source / 'objects'}\n", encoding="utf-8")


def check_out(git: Git, worktree: Path, commit: str) -> None:
    """Check a commit out into a worktree that no agent has used."""
    tree = {"GIT_WORK_TREE": str(worktree)}
    git.run("read-tree", "--reset", "-u", commit, git_dir=worktree / ".git", env=tree)


def keep_index(workspace: Workspace) -> None:
    """Save the stat data of a checkout, so that a capture need not read untouched files.

    The copy has the time of the index, since a file as new as the index counts as touched.
    """
    shutil.copy2(workspace.worktree / ".git" / "index", workspace.index)


def layers_of(root: Path) -> Path:
    """Return the folder for the layers of overlays in a folder that programs may write to.

    It is beside that folder, because a program that can write to a layer could redirect it.
    """
    return root.with_name(f"{root.name}.layers")


@dataclass(frozen=True)
class Workspace:
    """The folders of one agent; after its start everything below `root` is untrusted."""

    root: Path

    @property
    def worktree(self) -> Path:
        """The folder in which the agent works."""
        return self.root / "tree"

    @property
    def home(self) -> Path:
        """The agent's HOME."""
        return self.root / "home"

    @property
    def index(self) -> Path:
        """The index of the orchestrator's last checkout, with its stat data."""
        return self.root / "index"

    @property
    def layers(self) -> Path:
        """The folder of what its programs change in overlays; no program can reach it."""
        return layers_of(self.root)

    @property
    def tmp(self) -> Path:
        """The agent's TMPDIR, to which the capture writes the change."""
        return self.root / "tmp"
