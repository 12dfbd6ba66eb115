"""Files with an external filter, found by the attributes of a commit; the filter never runs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspace.diff import GITLINK, read_objects, shown_path
from orchestrator.workspace.git import Git

_NONE = frozenset({"unspecified", "unset", "set"})
_LFS = "lfs"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[a-z0-9.-]+ [^\n]+\n)*"
    rb"oid sha256:[0-9a-f]{64}\n(?:[a-z0-9.-]+ [^\n]+\n)*"
)
_POINTER_BYTES = 1024
_LINKS = ("120000", GITLINK)


@dataclass(frozen=True)
class Filtered:
    """A file with an external filter: the filter's name and the blob in the commit."""

    filter: str
    blob: str


@dataclass(frozen=True)
class FilterFault:
    """A changed file that cannot be delivered, because its filter did not run."""

    path: str
    filter: str
    detail: str


def filtered_files(git: Git, git_dir: Path, commit: str) -> Mapping[str, Filtered]:
    """Return the files of a commit that its own attributes assign to an external filter.

    Raises:
        GitFailed: the commit does not exist.
    """
    listed = git.of_objects("ls-tree", "-r", "-z", "--full-tree", commit, git_dir=git_dir)
    blobs: dict[bytes, str] = {}
    for entry in filter(None, listed.split(b"\0")):
        # `<mode> <type> <oid>`, tab, path.
        meta, _, path = entry.partition(b"\t")
        mode, _, blob = meta.decode().split(" ")
        if mode not in _LINKS:
            blobs[path] = blob
    rules = {blob for path, blob in blobs.items() if path.rpartition(b"/")[2] == b".gitattributes"}
    if not any(b"filter=" in text for text in read_objects(git, git_dir, rules).values()):
        return {}
    with tempfile.TemporaryDirectory() as scratch:
        # In a bare repository git 2.39 reads attributes from an index only.
        env = {"GIT_INDEX_FILE": f"{scratch}/index"}
        git.run("read-tree", commit, git_dir=git_dir, env=env)
        output = git.run(
            *("check-attr", "--cached", "--stdin", "-z", "filter"),
            git_dir=git_dir,
            env=env,
            stdin=b"".join(path + b"\0" for path in blobs),
        )
    # Path, attribute, value, each ended by NUL.
    fields = output.split(b"\0")
    pairs = ((path, value.decode()) for path, value in zip(fields[::3], fields[2::3], strict=False))
    return {
        shown_path(path): Filtered(name, blobs[path]) for path, name in pairs if name not in _NONE
    }


def filter_faults(
    git: Git, git_dir: Path, base: str, tip: str, *, stored: frozenset[str]
) -> tuple[FilterFault, ...]:
    """Return the files from `base` to `tip` whose filter should have run, and did not.

    The orchestrator sends no LFS objects, so only a pointer that the base has is sure to have one.
    Files of the filters named in `stored` may be delivered unchanged.
    """
    before, after = (filtered_files(git, git_dir, commit) for commit in (base, tip))
    # The base's rules apply too, because the change may have removed the attribute.
    known = {one.blob for one in before.values()}
    found = []
    for path, one in sorted(after.items()):
        if before.get(path) == one or (one.filter in stored and one.filter != _LFS):
            continue
        if one.filter != _LFS:
            detail = f"The filter {one.filter} is not run here, so the file is unfiltered."
        elif one.blob in known:
            continue
        elif _is_pointer(git, git_dir, one.blob):
            detail = "It is a pointer to an LFS object that no commit of the base has."
        else:
            detail = "Git LFS stores it, but the change has its content and not a pointer."
        found.append(FilterFault(path, one.filter, detail))
    return tuple(found)


def _is_pointer(git: Git, git_dir: Path, blob: str) -> bool:
    size = int(git.run("cat-file", "-s", blob, git_dir=git_dir))
    if size > _POINTER_BYTES:
        return False
    return _POINTER.fullmatch(git.run("cat-file", "blob", blob, git_dir=git_dir)) is not None
