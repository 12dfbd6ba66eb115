"""Keeps the work that only an index contains: staged files, and the sides of conflicts."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping

from .git import GitError, Repository
from .job import Job, Report
from .refs import Named
from .survey import GITLINK
from .taking import Found, write_tree

#: The tree without files; every git knows it.
EMPTY_TREE = b"4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_UNREADABLE = "index that cannot be read: what was only staged"
_SIGNATURE = b"DIRC"
_SHARED = b"sharedindex."


class Index:
    """The entries of an index that differ from a commit or a tree."""

    def __init__(self) -> None:
        #: Mode and blob by path.
        self.staged: dict[bytes, Found] = {}
        #: The paths that the commit has not.
        self.added: set[bytes] = set()
        #: Path and blob of each side of a conflict.
        self.unmerged: list[tuple[bytes, bytes]] = []


def read_index(theirs: Repository, path: bytes, base: bytes) -> Index:
    """Compare an index with a commit or a tree; a file that does not exist is an empty index.

    `theirs` reads the objects of the repository to which the index belongs.

    Raises:
        GitError: the index or the commit cannot be read.
        OSError: a part of the index cannot be read.
    """
    found = Index()
    if not os.path.exists(path):
        return found
    _copy_shared(theirs, os.path.dirname(path))
    env = {b"GIT_INDEX_FILE": path}
    differing = ("diff-index", "--cached", "--raw", "--no-renames", "--no-abbrev", "-z")
    fields = theirs.run(*differing, base, env=env).split(b"\0")
    is_unmerged = False
    # `:<old mode> <new mode> <old blob> <new blob> <status>`, NUL, path, NUL.
    for meta, name in zip(fields[::2], fields[1::2]):
        _, mode, _, blob, status = meta.split(b" ")
        is_unmerged |= status == b"U"
        if status == b"U":
            continue
        if status != b"D":
            found.staged[name] = (mode, blob)
        if status == b"A":
            found.added.add(name)
    listed = theirs.run("ls-files", "-u", "-z", env=env) if is_unmerged else b""
    for line in listed.split(b"\0")[:-1]:
        # `<mode> <blob> <stage>`, tab, path.
        meta, _, name = line.partition(b"\t")
        found.unmerged.append((name, meta.split(b" ")[1]))
    return found


def index_files(git_dir: bytes) -> list[tuple[str, bytes]]:
    """Return a label and the path of each index in a git folder; the own one has no label.

    A command of git that was killed leaves its new index in a lock file.
    """
    own = os.path.join(git_dir, b"index")
    found = [("", own)] if os.path.lexists(own) else []
    try:
        names = sorted(os.listdir(git_dir))
    except OSError:
        return found
    for name in names:
        path = os.path.join(git_dir, name)
        if name != b"index" and not name.startswith(_SHARED) and _is_index(path):
            found.append((f"~{os.fsdecode(name)}", path))
    return found


class StagedWork:
    """Makes a commit of the staged files that nothing else keeps."""

    def __init__(
        self,
        ours: Repository,
        borrowing: Callable[[bytes], Repository],
        job: Job,
        base: Mapping[bytes, Found],
        report: Report,
    ) -> None:
        """`borrowing` returns a repository that also reads the objects of another one."""
        self._of_base = {blob for _, blob in base.values()}
        self._ours = ours
        self._borrowing = borrowing
        self._job = job
        self._report = report
        self._number = 0

    def read(
        self,
        git_dir: bytes,
        compared: bytes,
        held: Callable[[], Collection[bytes]],
        name: str,
        *,
        parent: bytes = b"",
    ) -> list[Named]:
        """Return commits of what only the indexes of a git folder contain.

        The indexes are compared with the commit or tree `compared`; `held` returns blobs that are
        kept in other ways. The commits get `parent`, which the bundle has.
        """
        found = []
        for label, path in index_files(git_dir):
            shown = os.path.relpath(path, self._job.worktree)
            try:
                index = self._read(git_dir, path, compared)
            except (GitError, OSError):
                self._report.leave(shown, _UNREADABLE)
                continue
            if not index.staged and not index.unmerged:
                continue
            if tree := self._tree(index, git_dir, parent, {*held(), *self._of_base}, shown):
                parents = ("-p", parent) if parent else ()
                made = self._ours.run("commit-tree", tree, *parents, "-m", "What was only staged")
                found.append(Named("tree", f"{name}{label}", made.strip()))
        return found

    def _tree(
        self, index: Index, git_dir: bytes, parent: bytes, held: Collection[bytes], shown: bytes
    ) -> bytes:
        """Return a tree with the content of one index; nothing if `held` has all of it."""
        files = {
            path: (mode, blob)
            for path, (mode, blob) in index.staged.items()
            if blob not in held and mode != GITLINK
        }
        # Each side of a conflict gets a name of its own.
        files |= {
            path + b".unmerged-" + blob[:8]: (b"100644", blob)
            for path, blob in index.unmerged
            if blob not in held
        }
        sound = self._copied(files, git_dir, shown)
        if not sound:
            return b""
        self._number += 1
        return write_tree(self._ours, parent, sound, b"staged.%d" % self._number)

    def _read(self, git_dir: bytes, path: bytes, compared: bytes) -> Index:
        theirs = self._borrowing(git_dir)
        try:
            return read_index(theirs, path, compared)
        except GitError:
            # The commit may be damaged, and the index sound.
            return read_index(theirs, path, EMPTY_TREE)

    def _copied(
        self, files: Mapping[bytes, Found], git_dir: bytes, shown: bytes
    ) -> dict[bytes, Found]:
        """Copy the blobs of these entries, and return the entries whose blobs are sound."""
        theirs, sound = self._borrowing(git_dir), {}
        left = self._job.unpacked_bytes
        for path, found in sorted(files.items()):
            blob = found[1]
            code, size, _ = theirs.attempt("cat-file", "-s", blob)
            if not code and int(size) > left:
                what = f"more than {self._job.unpacked_bytes} bytes that were only staged"
                self._report.leave(shown + b": " + path, what)
                continue
            code, data, _ = theirs.attempt("cat-file", "blob", blob)
            if code or self._ours.write_blob(data) != blob:
                self._report.leave(shown + b": " + path, _UNREADABLE)
                continue
            left -= len(data)
            sound[path] = found
        return sound


def _copy_shared(theirs: Repository, folder: bytes) -> None:
    """Copy the halves of a split index to where git searches them: beside HEAD."""
    for name in os.listdir(folder):
        if name.startswith(_SHARED):
            with open(os.path.join(folder, name), "rb") as source:
                content = source.read()
            with open(os.path.join(theirs.path, name), "wb") as target:
                target.write(content)


def _is_index(path: bytes) -> bool:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            return file.read(4) == _SIGNATURE
    except OSError:
        return False
