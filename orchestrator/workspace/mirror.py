"""One bare mirror for each repository and host: fetched under a lock, never pruned."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import (
    BranchUnknown,
    CredentialsUnavailable,
    DiskFull,
    GitFailed,
    GitTimedOut,
    RepositoryEmpty,
    RepositoryUnavailable,
)
from orchestrator.settings import Settings
from orchestrator.workspace.disk import locked, naming_full_disk
from orchestrator.workspace.git import Git, checked, showable

#: No configuration file is larger.
FILE_LIMIT_BYTES = 2**20
_REGULAR_FILES = (0o100644, 0o100755)
_SHALLOW = "shallow roots are not allowed to be updated"
_STALE_LOCK = re.compile(r"Unable to create '[^']*\.lock': File exists")


@dataclass(frozen=True)
class Base:
    """The start of an agent: a commit in a mirror of this host."""

    mirror: Path
    commit: str


class Mirrors:
    """The mirrors of this host, under `mirrors/` of its home."""

    def __init__(self, settings: Settings, git: Git) -> None:
        self._folder = settings.home / "mirrors"
        self._git = git
        # The wait for another attempt's fetch, which may take the whole timeout.
        self._wait_s = settings.git_timeout_s

    def refresh(self, repository: str, branch: str) -> Base:
        """Fetch this branch into the repository's mirror and return its tip.

        Only this branch is fetched. Nothing is ever removed, because live clones borrow the
        objects.

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
        with naming_full_disk(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked(mirror, repository) as lock:
                if not (mirror / "HEAD").exists():
                    self._git.run("init", "--quiet", "--bare", "--template=", git_dir=mirror)
                self._fetch(mirror, repository, branch, ref, lock)
                tip = self._git.run("rev-parse", "--verify", f"{ref}^{{commit}}", git_dir=mirror)
        return Base(mirror, tip.decode().strip())

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

        The branch may have moved or may not exist since the commit was its tip. Raises the errors
        of `refresh`, and:

        Raises:
            GitFailed: the branch no longer leads to the commit.
        """
        base = Base(self._mirror(repository), commit)
        if self._holds(base):
            return base
        self.refresh(repository, branch)
        if self._holds(base):
            return base
        msg = f"{showable(repository)}: {branch} no longer leads to {commit}, where the work began."
        raise GitFailed(msg, action="Spawn again from the branch as it is now.")

    def read(self, base: Base, path: str) -> bytes | None:
        """Return a file of this commit; None if there is no regular file at this path.

        Raises:
            GitFailed: the mirror does not contain the commit, or the file is over FILE_LIMIT_BYTES.
        """
        # The import of GitPython runs git, so only the read of a commit imports it.
        from git import Blob, Repo  # noqa: PLC0415 - as above

        with Repo(base.mirror) as repository:
            repository.git.update_environment(**self._git.environment(base.mirror))
            try:
                tree = repository.commit(base.commit).tree
            except ValueError as error:
                msg = f"The commit {base.commit} is not in this host's mirror."
                raise GitFailed(msg) from error
            try:
                entry = tree / path
            except KeyError:
                return None
            if not isinstance(entry, Blob) or entry.mode not in _REGULAR_FILES:
                return None
            if entry.size > FILE_LIMIT_BYTES:
                msg = f"{path} of the base commit has {entry.size} bytes, over {FILE_LIMIT_BYTES}."
                raise GitFailed(msg)
            content: bytes = entry.data_stream.read()
            return content

    def read_some(self, base: Base, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the named files that exist in this commit, in a few milliseconds for all.

        Raises:
            GitFailed: the mirror does not contain the commit, or a file is over FILE_LIMIT_BYTES.
        """
        listed = self._git.run(
            "ls-tree", "-z", "--long", base.commit, "--", *paths, git_dir=base.mirror
        ).decode(errors="replace")
        found = {}
        for entry in filter(None, listed.split("\0")):
            # `<mode> blob <oid> <size>`, tab, path.
            meta, _, path = entry.partition("\t")
            mode, _, oid, size = meta.split()
            if int(mode, 8) not in _REGULAR_FILES:
                continue
            if int(size) > FILE_LIMIT_BYTES:
                msg = f"{path} of the base commit has {size} bytes, over {FILE_LIMIT_BYTES}."
                raise GitFailed(msg)
            found[path] = self._git.run("cat-file", "blob", oid, git_dir=base.mirror)
        return found

    def paths(self, base: Base) -> frozenset[str]:
        """Return every path of this commit; paths that are not UTF-8 are left out."""
        listed = self._git.run(
            "ls-tree", "-r", "-z", "--name-only", base.commit, git_dir=base.mirror
        )
        return frozenset(listed.decode(errors="ignore").split("\0"))

    def contents(self, base: Base) -> Mapping[str, str]:
        """Return the id of the content of every file of this commit, by path."""
        listed = self._git.run("ls-tree", "-r", "-z", base.commit, git_dir=base.mirror)
        entries = (entry.partition("\t") for entry in listed.decode(errors="ignore").split("\0"))
        # `<mode> blob <oid>`, tab, path.
        return {path: meta.split()[2] for meta, _, path in entries if path}

    def _mirror(self, repository: str) -> Path:
        return self._folder / f"{hashlib.sha256(repository.encode()).hexdigest()}.git"

    def _holds(self, base: Base) -> bool:
        if not (base.mirror / "HEAD").exists():
            return False
        revision = f"{base.commit}^{{commit}}"
        return self._git.attempt("cat-file", "-e", revision, git_dir=base.mirror).exit_code == 0

    def _fetch(self, mirror: Path, repository: str, branch: str, ref: str, lock: int) -> None:
        def fetch() -> None:
            ended = self._git.attempt(
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--",
                repository,
                f"+refs/heads/{branch}:{ref}",
                git_dir=mirror,
                # The fetch of a killed worker continues, and it holds the lock.
                keep_fds=(lock,),
                remote=repository,
            )
            # git exits with code 0, and the branch is unchanged or missing.
            if _SHALLOW in ended.stderr:
                msg = f"{showable(repository)} is a shallow clone: its history has no beginning."
                action = "Complete it with `git fetch --unshallow`, or name its origin."
                raise RepositoryUnavailable(msg, action=action)
            checked(ended, "fetch")

        try:
            try:
                fetch()
            except GitFailed as error:
                if not _STALE_LOCK.search(error.detail):
                    raise
                # This process holds the mirror's lock, so the processes that made these files have
                # ended.
                for stale in mirror.rglob("*.lock"):
                    stale.unlink(missing_ok=True)
                fetch()
        except (GitTimedOut, DiskFull, CredentialsUnavailable, RepositoryUnavailable):
            raise
        except GitFailed as error:
            self._explain(mirror, repository, branch)
            raise error from None

    def _explain(self, mirror: Path, repository: str, branch: str) -> None:
        """Raise the error that the response of the remote shows; return if it shows none."""
        shown = showable(repository)
        try:
            listing = self._git.run(
                "ls-remote", "--heads", "--", repository, git_dir=mirror, remote=repository
            )
        except (GitTimedOut, CredentialsUnavailable):
            raise
        except GitFailed as error:
            msg = f"{shown}: {error.detail}"
            raise RepositoryUnavailable(msg) from error
        heads = {line.partition("\t")[2] for line in listing.decode(errors="replace").splitlines()}
        if not heads:
            msg = f"{shown} has no commits."
            raise RepositoryEmpty(msg)
        if f"refs/heads/{branch}" not in heads:
            msg = f"{shown} has no branch {showable(branch)}."
            raise BranchUnknown(msg)
