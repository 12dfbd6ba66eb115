"""Fetches one branch into a mirror: a large first fetch in steps, each of which is kept."""

from __future__ import annotations

import re
import time
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
from orchestrator.log import get_logger
from orchestrator.workspace.disk import remove_tree
from orchestrator.workspace.git import Git, checked, showable

#: The file of a mirror whose first fetch has begun and not finished.
UNFINISHED = "first-fetch"
_FIRST_STEP = 64
#: A step that needs less than this share of the time limit is followed by a larger one.
_QUICK = 0.25
_SHALLOW_REMOTE = "shallow roots are not allowed to be updated"
_STALE_LOCK = re.compile(r"Unable to create '[^']*\.lock': File exists")
_OTHER_OWNER = "detected dubious ownership"
_OTHER_FORMAT = "mismatched algorithms"
#: What an ended git leaves in a folder of objects.
_PARTIAL = ("pack/tmp_*", "pack/.tmp-*", "tmp_objdir-*", "[0-9a-f][0-9a-f]/tmp_obj_*")

log = get_logger("fetch")


@dataclass(frozen=True)
class BranchFetch:
    """Fetches from one repository into its mirror; the caller holds the mirror's lock."""

    git: Git
    mirror: Path
    repository: str
    #: The descriptor of the lock: the fetch of a killed worker continues, and holds it.
    lock: int
    timeout_s: float

    def fetch(self, branch: str, ref: str) -> None:
        """Let `ref` be the tip of a branch, with its whole history.

        The first fetch of a repository may not end within the time limit. Then the history is
        fetched in steps: the newest commit, then more and more of its ancestors. Each finished step
        is kept, also by the next call.

        Raises:
            RepositoryUnavailable: the repository does not exist, or this host may not read it.
            RepositoryEmpty: it has no branch.
            BranchUnknown: it has other branches only.
            GitTimedOut: the remote did not send one step in time.
            CredentialsUnavailable: the remote needs a token, and none is available.
            DiskFull: the disk is full.
        """
        refspec = f"+refs/heads/{branch}:{ref}"
        remove_partial(self.mirror)
        try:
            try:
                self._fetch_all(refspec, ref)
            except GitFailed as error:
                if not _STALE_LOCK.search(error.detail):
                    raise
                # This process holds the mirror's lock, so the processes that made these files have
                # ended.
                for stale in self.mirror.rglob("*.lock"):
                    stale.unlink(missing_ok=True)
                self._fetch_all(refspec, ref)
        except (GitTimedOut, DiskFull, CredentialsUnavailable, RepositoryUnavailable):
            raise
        except GitFailed as error:
            self._explain(branch)
            raise error from None
        finally:
            remove_partial(self.mirror)

    def fetch_commit(self, commit: str) -> None:
        """Fetch a commit to which no branch leads any more, if the remote allows that."""
        remove_partial(self.mirror)
        refspec = f"+{commit}:refs/commits/{commit}"
        try:
            self._run(refspec)
        except GitFailed as error:
            log.info("commit not fetched", commit=commit, reason=error.detail)

    def fetch_branches(self) -> None:
        """Fetch every branch, of a remote that sends no commit by its id.

        Raises:
            RepositoryUnavailable: the remote cannot be read.
            GitTimedOut: it did not respond in time.
        """
        try:
            self._run("+refs/heads/*:refs/heads-of-remote/*")
        except (GitTimedOut, DiskFull, CredentialsUnavailable, RepositoryUnavailable):
            raise
        except GitFailed as error:
            msg = f"{showable(self.repository)}: {error.detail}"
            raise RepositoryUnavailable(msg) from error

    def _fetch_all(self, refspec: str, ref: str) -> None:
        unfinished = self.mirror / UNFINISHED
        is_first = not any((self.mirror / "refs" / "branches").glob("*"))
        if unfinished.exists() and is_first:
            self._run(refspec, "--depth=1")
        elif is_first:
            unfinished.touch()
            try:
                self._run(refspec)
            except GitTimedOut:
                log.info("first fetch in steps", repository=showable(self.repository))
                self._run(refspec, "--depth=1")
        elif not unfinished.exists():
            self._run(refspec)
        elif not self._has(ref):
            self._run(refspec, "--depth=1")
        self._deepen(refspec, ref)
        unfinished.unlink(missing_ok=True)

    def _deepen(self, refspec: str, ref: str) -> None:
        step = _FIRST_STEP
        while cut := self._cut(ref):
            begun_s = time.monotonic()
            try:
                self._run(refspec, f"--deepen={step}")
            except GitTimedOut:
                if step == 1:
                    raise
                step = max(1, step // 8)
                continue
            if self._cut(ref) == cut:
                raise self._shallow()
            if time.monotonic() - begun_s < self.timeout_s * _QUICK:
                step *= 2

    def _has(self, ref: str) -> bool:
        return self.git.attempt("rev-parse", "--verify", ref, git_dir=self.mirror).exit_code == 0

    def _cut(self, ref: str) -> frozenset[str]:
        """Return the commits of a history whose parents are not fetched yet."""
        try:
            cut = (self.mirror / "shallow").read_text(encoding="ascii").split()
        except FileNotFoundError:
            return frozenset()
        history = self.git.run("rev-list", ref, git_dir=self.mirror).decode().split()
        return frozenset(cut).intersection(history)

    def _run(self, refspec: str, *options: str) -> None:
        ended = self.git.attempt(
            *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *options),
            *("--", self.repository, refspec),
            git_dir=self.mirror,
            keep_fds=(self.lock,),
            remote=self.repository,
        )
        # git exits with code 0, and the branch is unchanged or missing.
        if _SHALLOW_REMOTE in ended.stderr:
            raise self._shallow()
        if _OTHER_OWNER in ended.stderr:
            raise self._foreign()
        if _OTHER_FORMAT in ended.stderr:
            msg = f"{showable(self.repository)} has SHA-256 object names, which are not supported."
            raise RepositoryUnavailable(msg, action="Name a repository with SHA-1 object names.")
        checked(ended, "fetch")

    def _shallow(self) -> RepositoryUnavailable:
        msg = f"{showable(self.repository)} is a shallow clone: its history has no beginning."
        action = "Complete it with `git fetch --unshallow`, or name its origin."
        return RepositoryUnavailable(msg, action=action)

    def _foreign(self) -> RepositoryUnavailable:
        msg = f"{showable(self.repository)} belongs to another user of this machine."
        action = (
            "If you trust it, name its folder in ORCHESTRATOR_LOCAL_REPOSITORIES of the workers."
            " A push runs its hooks."
        )
        return RepositoryUnavailable(msg, action=action)

    def _explain(self, branch: str) -> None:
        """Raise the error that the response of the remote shows; return if it shows none."""
        shown = showable(self.repository)
        try:
            listing = self.git.run(
                *("ls-remote", "--heads", "--", self.repository),
                git_dir=self.mirror,
                remote=self.repository,
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


def remove_partial(mirror: Path) -> None:
    """Remove what ended fetches left of objects; the caller holds the lock of the mirror."""
    objects = mirror / "objects"
    for pattern in _PARTIAL:
        for path in objects.glob(pattern):
            remove_tree(path)
    for pack in objects.glob("pack/*.pack"):
        # git finishes a pack before its index.
        if not pack.with_suffix(".idx").exists():
            pack.unlink(missing_ok=True)
