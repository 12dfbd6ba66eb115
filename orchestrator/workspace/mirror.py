"""One bare mirror for each repository and host: fetched under a lock, never pruned."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import (
    BranchUnknown,
    GitFailed,
    GitKilled,
    GitTimedOut,
    RepositoryUnavailable,
)
from orchestrator.settings import Settings
from orchestrator.workspace.branch_fetch import BranchFetch
from orchestrator.workspace.disk import locked, naming_full_disk
from orchestrator.workspace.git import Git, showable
from orchestrator.workspace.mirror_repair import repair
from orchestrator.workspace.tags import update_tags

#: No configuration file is larger.
FILE_LIMIT_BYTES = 2**20
OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REGULAR_FILES = (0o100644, 0o100755)
#: A repository may have a file whose name git would read as a pattern.
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}


@dataclass(frozen=True)
class Base:
    """The start of an agent: a commit in a mirror of this host."""

    mirror: Path
    commit: str
    #: The repository and its branch; empty where only the commit is known.
    repository: str = field(default="", compare=False)
    branch: str = field(default="", compare=False)


class Mirrors:
    """The mirrors of this host, under `mirrors/` of its home."""

    def __init__(self, settings: Settings, git: Git) -> None:
        self._folder = settings.home / "mirrors"
        self._git = git
        # The wait for another attempt's fetch, which may take the whole timeout.
        self._wait_s = settings.git_timeout_s
        self._with_tags = settings.checkout_refs == "all"
        #: The mirrors that this process has checked: a power failure ends it too.
        self._checked: set[Path] = set()

    def refresh(self, repository: str, branch: str, *, with_tags: bool = True) -> Base:
        """Fetch this branch into the repository's mirror and return its tip.

        Only this branch is fetched, and with tags the tags of the commits that the mirror then
        has. No object is ever removed, because live clones borrow them.

        Raises:
            RepositoryUnavailable: it does not exist, or this host may not read it.
            RepositoryEmpty: it has no branch.
            BranchUnknown: it has other branches only.
            GitTimedOut: the remote did not respond in time.
            DiskFull: the disk is full.
        """
        mirror = self._mirror(repository)
        # The ref has a digest as its name, so that a removed branch `a` does not block a new `a/b`.
        ref = f"refs/branches/{hashlib.sha256(branch.encode()).hexdigest()}"
        with self._opened(mirror, repository) as fetch:
            fetch.fetch(branch, ref)
            tip = self._git.run("rev-parse", "--verify", f"{ref}^{{commit}}", git_dir=mirror)
            if with_tags and self._with_tags:
                update_tags(self._git, mirror, repository, lock=fetch.lock)
        return Base(mirror, tip.decode().strip(), repository, branch)

    @contextmanager
    def _opened(self, mirror: Path, repository: str) -> Iterator[BranchFetch]:
        """Lock a mirror, which is made if there is none, and yield what fetches into it."""
        with naming_full_disk(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked(mirror, repository) as lock:
                self._check(mirror)
                if not (mirror / "HEAD").exists():
                    self._git.run("init", "--quiet", "--bare", "--template=", git_dir=mirror)
                yield BranchFetch(self._git, mirror, repository, lock, self._wait_s)

    @contextmanager
    def _locked(self, mirror: Path, repository: str) -> Iterator[int]:
        with ExitStack() as stack:
            try:
                lock = locked(mirror.with_suffix(".lock"), wait_s=self._wait_s)
                descriptor = stack.enter_context(lock)
            except BlockingIOError as error:
                msg = f"The mirror of {showable(repository)} was in use for {self._wait_s:.0f} s."
                raise GitTimedOut(msg) from error
            yield descriptor

    def at(self, repository: str, branch: str, commit: str) -> Base:
        """Return a commit of this host's mirror; fetches only if the mirror does not have it.

        The branch may have moved or may not exist since the commit was its tip: then the commit
        itself is fetched, which most remotes allow. Raises the errors of `refresh`, and:

        Raises:
            GitFailed: the branch no longer leads to the commit, and the remote does not send it.
            BranchUnknown: the branch is deleted, and the remote does not send the commit.
        """
        base = Base(self._mirror(repository), commit, repository, branch)
        if self._holds(base):
            return base
        gone: BranchUnknown | None = None
        try:
            self.refresh(repository, branch)
        except BranchUnknown as error:
            gone = error
        if not self._holds(base) and OBJECT_ID.fullmatch(commit):
            with self._opened(base.mirror, repository) as fetch:
                fetch.fetch_commit(commit)
        if self._holds(base):
            return base
        if gone is not None:
            raise gone
        msg = f"{showable(repository)}: {branch} no longer leads to {commit}, where the work began."
        raise GitFailed(msg, action="Spawn again from the branch as it is now.")

    def pinned(self, repository: str, commit: str) -> Base:
        """Return a commit of a repository, to which any branch of it may lead.

        Raises:
            RepositoryUnavailable: the remote cannot be read, or does not have the commit.
            GitTimedOut: the remote did not respond in time.
            DiskFull: the disk is full.
        """
        base = Base(self._mirror(repository), commit, repository)
        if self._holds(base):
            return base
        with self._opened(base.mirror, repository) as fetch:
            fetch.fetch_commit(commit)
            if not self._holds(base):
                fetch.fetch_branches()
        if self._holds(base):
            return base
        msg = f"{showable(repository)} does not have the commit {commit}."
        raise RepositoryUnavailable(msg)

    def read(self, base: Base, path: str) -> bytes | None:
        """Return a file of this commit; None if there is no regular file at this path.

        Raises:
            GitFailed: the mirror does not contain the commit, or the file is over FILE_LIMIT_BYTES.
            GitKilled: git was ended before it had answered.
        """
        return self.read_some(base, (path,)).get(path)

    def read_some(self, base: Base, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the named files that exist in this commit, in a few milliseconds for all.

        Raises:
            GitFailed: the mirror does not contain the commit, or a file is over FILE_LIMIT_BYTES.
            GitKilled: git was ended before it had answered.
        """
        possible = [path for path in paths if _is_of_a_tree(path)]
        if not possible:
            return {}
        asked = ("ls-tree", "-z", "--long", base.commit, "--", *possible)
        try:
            listed = self._git.of_objects(*asked, git_dir=base.mirror, env=_LITERAL)
        except (GitKilled, GitTimedOut):
            raise
        except GitFailed as error:
            if self._holds(base):
                raise
            msg = f"The commit {base.commit} is not in this host's mirror."
            raise GitFailed(msg) from error
        found = {}
        for entry in filter(None, listed.decode(errors="replace").split("\0")):
            # `<mode> blob <oid> <size>`, tab, path.
            meta, _, path = entry.partition("\t")
            mode, _, oid, size = meta.split()
            if int(mode, 8) not in _REGULAR_FILES:
                continue
            if int(size) > FILE_LIMIT_BYTES:
                msg = f"{path} of the base commit has {size} bytes, over {FILE_LIMIT_BYTES}."
                raise GitFailed(msg)
            found[path] = self._git.of_objects("cat-file", "blob", oid, git_dir=base.mirror)
        return found

    def paths(self, base: Base) -> frozenset[str]:
        """Return every path of this commit; paths that are not UTF-8 are left out."""
        asked = ("ls-tree", "-r", "-z", "--name-only", base.commit)
        listed = self._git.of_objects(*asked, git_dir=base.mirror)
        return frozenset(filter(None, listed.decode(errors="ignore").split("\0")))

    def contents(self, base: Base) -> Mapping[str, str]:
        """Return the id of the content of every file of this commit, by path."""
        listed = self._git.of_objects("ls-tree", "-r", "-z", base.commit, git_dir=base.mirror)
        entries = (entry.partition("\t") for entry in listed.decode(errors="ignore").split("\0"))
        # `<mode> blob <oid>`, tab, path.
        return {path: meta.split()[2] for meta, _, path in entries if path}

    def _mirror(self, repository: str) -> Path:
        return self._folder / f"{hashlib.sha256(repository.encode()).hexdigest()}.git"

    def _check(self, mirror: Path) -> None:
        """Repair a mirror whose lock is held, once in the life of this process."""
        if mirror not in self._checked and mirror.exists():
            repair(mirror)
        self._checked.add(mirror)

    def _holds(self, base: Base) -> bool:
        if base.mirror not in self._checked:
            # A process that has the lock checks it too. A disk that is read-only keeps it as it is.
            with suppress(OSError), locked(base.mirror.with_suffix(".lock")):
                self._check(base.mirror)
        if not (base.mirror / "HEAD").exists():
            return False
        revision = f"{base.commit}^{{commit}}"
        return self._git.attempt("cat-file", "-e", revision, git_dir=base.mirror).exit_code == 0


def _is_of_a_tree(path: str) -> bool:
    """Tell a path that a tree may have from others, which git would refuse."""
    inside = path not in ("", ".", "..") and not path.startswith(("/", "../"))
    return inside and "\0" not in path and posixpath.normpath(path) == path
