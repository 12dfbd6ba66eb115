"""Receives the change of an agent from its bundle into a bare repository; fsck checks it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import (
    ChangeEmpty,
    ChangeRefused,
    ChangeTooLarge,
    DiskFull,
    GitFailed,
    GitTimedOut,
)
from orchestrator.workspace.checkout_refs import write_packed
from orchestrator.workspace.diff import ABSENT, GITLINK, changed_files
from orchestrator.workspace.disk import remove_tree
from orchestrator.workspace.git import IDENTITY_EMAIL, IDENTITY_NAME, Git
from orchestrator.workspace.inside.naming import CHANGE, read_ref
from orchestrator.workspace.object_sizes import added, extents

#: A bundle of a few kilobytes may unpack to any size. The gates read the added objects whole,
#: several times at once, and each gate checks them out. These limits bound the memory and the disk.
UNPACKED_LIMIT_BYTES = 2**28
UNPACKED_LIMIT_FILES = 200_000
#: The count of folders holds them in memory, where an entry takes five times its bytes. This limit
#: is enough for that many files, also in many commits.
FOLDERS_LIMIT_BYTES = 2**25

# gitformat-bundle, version 2: prerequisites, the refs, an empty line, then the pack.
_HEADER = re.compile(
    rb"# v2 git bundle\n(?:-[0-9a-f]{40}[^\n]*\n)*((?:[0-9a-f]{40} refs/orchestrator/[^\n]+\n)+)\n"
)
_MOST_REFS = 1000
#: The names of branches and tags that `restore_refs` restores. Any other ref keeps the name that it
#: has in the bundle.
_BRANCH = re.compile(r"refs/(?:heads|tags)/[A-Za-z0-9][A-Za-z0-9_/-]{0,180}")
#: The name of a repository inside the receiving one; it is removed after the check of its objects.
_WHOLE = "whole.git"


@dataclass(frozen=True)
class Beside:
    """A commit that the bundle contains beside the change: its name and its kind."""

    ref: str
    kind: str
    name: str
    commit: str


@dataclass(frozen=True)
class Heads:
    """The header of a bundle; nothing of it is checked yet."""

    change: str
    beside: tuple[Beside, ...]
    #: The byte offset of the pack.
    pack_at: int


@dataclass(frozen=True)
class Received:
    """The tip of a change and its tree; the receiving repository contains the objects."""

    commit: str
    tree: str


def read_heads(bundle: bytes) -> Heads:
    """Read the header of a bundle.

    Raises:
        ChangeRefused: it is not a bundle of a change.
    """
    header = _HEADER.match(bundle)
    lines = header[1].decode(errors="replace").splitlines() if header else []
    pairs = (line.partition(" ") for line in lines[:_MOST_REFS])
    refs = {ref: commit for commit, _, ref in pairs}
    if header is None or CHANGE not in refs:
        msg = "The agent's change is not a git bundle of one change."
        raise ChangeRefused(msg)
    beside = tuple(
        Beside(ref, *known, commit) for ref, commit in refs.items() if (known := read_ref(ref))
    )
    return Heads(refs[CHANGE], beside, header.end())


def tip_of(bundle: bytes) -> str:
    """Return the commit of the change, only for display; zeros if the header is malformed."""
    try:
        return read_heads(bundle).change
    except ChangeRefused:
        return ABSENT


def receive(
    git: Git, git_dir: Path, base_commit: str, bundle: bytes, *, may_be_empty: bool = False
) -> Received:
    """Import the change of a bundle into a repository that has the base; no ref is written.

    The commits beside the change are not imported, because fsck may refuse their objects.

    Raises:
        ChangeRefused: it is not a bundle of a change, fsck reports a fault, or it adds submodules.
        ChangeEmpty: its tree equals the tree of the base, unless the caller allows that.
        ChangeTooLarge: it exceeds one of the limits above.
        DiskFull: the disk is full.
        GitFailed: the repository does not contain the base.
    """
    _, base_tree = _peeled(git, git_dir, base_commit)
    heads = read_heads(bundle)
    commit = heads.change
    try:
        pack = bundle[heads.pack_at :]
        if heads.beside:
            pack = _pack_of_change(git, git_dir, base_commit, commit, pack)
        # `git fetch` obeys fsckObjects for a bundle only since git 2.46.
        git.run(*("index-pack", "--stdin", "--fix-thin", "--strict"), git_dir=git_dir, stdin=pack)
        peeled, tree = _peeled(git, git_dir, commit)
        new = added(git, git_dir, base_commit, commit)
        if new.size > UNPACKED_LIMIT_BYTES or new.folders > FOLDERS_LIMIT_BYTES:
            # The limits are checked before any object is read.
            what = f"{new.size:,} bytes, {new.folders:,} of them folders"
            raise _too_large(what)
        before, after = extents(git, git_dir, (base_tree, tree))
    except (ChangeTooLarge, GitTimedOut, DiskFull):
        raise
    except GitFailed as error:
        raise ChangeRefused(error.detail) from error
    if peeled != commit:
        msg = "The agent's change is a tag and not a commit."
        raise ChangeRefused(msg)
    if tree == base_tree:
        if may_be_empty:
            return Received(commit, tree)
        raise ChangeEmpty
    grown_bytes, new_files = after.size - before.size, after.files - before.files
    if grown_bytes > UNPACKED_LIMIT_BYTES or new_files > UNPACKED_LIMIT_FILES:
        what = f"{new_files:,} files and {grown_bytes:,} bytes"
        raise _too_large(what)
    _refuse_new_pins(git, git_dir, base_commit, commit)
    return Received(commit, tree)


def receive_whole(git: Git, git_dir: Path, bundle: bytes) -> Heads:
    """Import every object of a bundle, also those that fsck refuses, for display and download.

    Raises:
        ChangeRefused: it is not a bundle, or its pack is damaged.
        DiskFull: the disk is full.
    """
    heads = read_heads(bundle)
    try:
        pack = bundle[heads.pack_at :]
        git.run("index-pack", "--stdin", "--fix-thin", git_dir=git_dir, stdin=pack)
    except (GitTimedOut, DiskFull):
        raise
    except GitFailed as error:
        raise ChangeRefused(error.detail) from error
    return heads


def restore_refs(git_dir: Path, heads: Heads, own_ref: str) -> None:
    """Restore the refs beside a change in a new repository that contains it.

    Branches become branches and stashes become stashes; other commits keep their name in the
    bundle. `own_ref` is the agent's branch, which points to the change.
    """
    refs = {own_ref: ""}
    stashes = []
    for one in heads.beside:
        if one.kind == "stash":
            stashes.append(one.commit)
        elif _BRANCH.fullmatch(one.name) and ".." not in one.name:
            refs.setdefault(one.name, one.commit)
        if refs.get(one.name) != one.commit:
            refs[one.ref] = one.commit
    del refs[own_ref]
    if stashes:
        refs["refs/stash"] = stashes[0]
        # The newest entry is the last, and each entry names the one before it. git reports an
        # instant of 0 as damage.
        who = f"{IDENTITY_NAME} <{IDENTITY_EMAIL}> 1 +0000\tkept"
        before = [*stashes[1:], ABSENT]
        lines = [f"{old} {new} {who}\n" for new, old in zip(stashes, before, strict=True)][::-1]
        (git_dir / "logs" / "refs").mkdir(parents=True, exist_ok=True)
        (git_dir / "logs" / "refs" / "stash").write_text("".join(lines), encoding="ascii")
    write_packed(git_dir, refs)


def bundle_of(git: Git, git_dir: Path, base_commit: str, ref: str, commit: str) -> bytes:
    """Return a bundle of one commit from a repository that contains it.

    Raises:
        GitFailed: git cannot make it, for example because the base contains all of it.
    """
    git.run("update-ref", ref, commit, git_dir=git_dir)
    return git.run("bundle", "create", "--quiet", "-", ref, f"^{base_commit}", git_dir=git_dir)


def _refuse_new_pins(git: Git, git_dir: Path, base_commit: str, commit: str) -> None:
    for file in changed_files(git, git_dir, base_commit, commit):
        # A change of a submodule's commit is allowed. A new submodule would add an address that the
        # operator did not choose.
        if file.mode == GITLINK != file.old_mode:
            msg = f"The agent's change adds a nested repository or submodule at {file.path}."
            raise ChangeRefused(msg)


def _pack_of_change(git: Git, git_dir: Path, base_commit: str, commit: str, whole: bytes) -> bytes:
    """Return the part of a pack that contains the change."""
    apart = git_dir / _WHOLE
    try:
        git.run("init", "--quiet", "--bare", "--template=", git_dir=apart)
        alternates = f"{git_dir / 'objects'}\n"
        (apart / "objects" / "info").mkdir(exist_ok=True)
        (apart / "objects" / "info" / "alternates").write_text(alternates, encoding="utf-8")
        git.run("index-pack", "--stdin", "--fix-thin", git_dir=apart, stdin=whole)
        return git.run(
            *("pack-objects", "--revs", "--thin", "--stdout", "--quiet"),
            git_dir=apart,
            stdin=f"{commit}\n^{base_commit}\n".encode(),
        )
    finally:
        remove_tree(apart)


def _too_large(what: str) -> ChangeTooLarge:
    msg = f"Unpacked, the agent's change adds {what}."
    action = "Keep build output and data out of it: name them in .gitignore."
    return ChangeTooLarge(msg, action=action)


def _peeled(git: Git, git_dir: Path, commit: str) -> tuple[str, str]:
    """Return the commit to which an id leads, which differs from the id of a tag, and its tree."""
    revisions = (f"{commit}^{{commit}}", f"{commit}^{{tree}}")
    found = git.run("rev-parse", *revisions, git_dir=git_dir)
    peeled, tree = found.decode().split()
    return peeled, tree
