"""The push: one commit to the agent's own branch, never overwriting another, then verified."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import (
    BranchBlocked,
    CredentialsUnavailable,
    GitFailed,
    GitKilled,
    GitTimedOut,
    PushFailed,
    PushRefused,
)
from orchestrator.log import get_logger
from orchestrator.models.identifiers import repository_name
from orchestrator.workspace.clone import AGENT_PREFIX, agent_ref
from orchestrator.workspace.git import Git, showable
from orchestrator.workspace.host_program import Ended
from orchestrator.workspace.mirror import Base

# The porcelain line of a ref that the remote (or the lease of the push) refused.
_TURNED_DOWN = re.compile(r"^!\t[^\t]*\t\[(?:remote )?rejected\].*$", re.MULTILINE)
# The messages of servers for a missing permission, and of git for a file that takes no push; any
# other failure may be the network.
_NOT_ALLOWED = re.compile(
    r"denied|not granted|not allowed|not permitted|read-only|Authentication failed"
    r"|terminal prompts disabled|dubious ownership|error: (401|403)|transport does not support",
    re.IGNORECASE,
)
#: How long a worker remembers that a remote takes pushes.
_PERMITTED_S = 600.0

log = get_logger("push")


@dataclass(frozen=True)
class Pushed:
    """The branch and commit that the remote now has."""

    branch: str
    commit: str


class Remote:
    """Repositories that changes are pushed to."""

    def __init__(self, git: Git) -> None:
        self._git = git
        #: When each remote last would have taken a push.
        self._permitted_s: dict[str, float] = {}

    def push(
        self,
        git_dir: Path,
        repository: str,
        commit: str,
        agent_id: str,
        *,
        replaces: str = "",
        prefix: str = AGENT_PREFIX,
    ) -> Pushed:
        """Create `<prefix><agentId>` at `commit` and read it back; repeatable with the same commit.

        Only the commit `replaces` is overwritten: an older attempt of this agent may have pushed it
        after it had lost the agent.

        Raises:
            PushRefused: the remote refuses it, or the branch has another commit.
            PushFailed: the remote was unreachable, or lost the accepted commit.
            CredentialsUnavailable: the remote needs a token, and none is available.
        """
        ref = agent_ref(agent_id, prefix)
        branch = ref.removeprefix("refs/heads/")
        try:
            ended = self._send(git_dir, repository, commit, ref)
            found = self._read_back(git_dir, repository, ref, ended)
            if replaces and found == replaces:
                ended = self._send(git_dir, repository, commit, ref, instead_of=replaces)
                found = self._read_back(git_dir, repository, ref, ended)
        except (GitTimedOut, GitKilled) as error:
            raise PushFailed(error.detail) from error
        if found == commit:
            return Pushed(branch, commit)
        if found:
            msg = f"{branch} already holds another commit, {found}; it is never overwritten."
            raise PushRefused(msg, action="Check that branch; delete it on the remote to redo.")
        raise _explain(ended)

    def check(self, base: Base, repository: str, agent_id: str, *, prefix: str) -> None:
        """Check that the remote takes pushes, and can have the branch of an agent.

        Any other failure is only logged: the remote may be reachable when the change is ready.

        Raises:
            BranchBlocked: a branch of the remote excludes it.
            PushRefused: the remote takes no push from this host.
        """
        ref = agent_ref(agent_id, prefix)
        try:
            self._check_name(base, repository, ref)
            self._check_permission(base, repository, ref)
        except (BranchBlocked, PushRefused):
            raise
        except GitFailed as error:
            log.warning("branch not checked", agentId=agent_id, error=error.detail)

    def _check_name(self, base: Base, repository: str, ref: str) -> None:
        # git stores a ref as a file, so a branch `agent` and a branch `agent/x` exclude each other.
        parts = ref.split("/")
        above = ["/".join(parts[:end]) for end in range(3, len(parts))]
        listed = self._heads(base.mirror, repository, *above) if above else {}
        if found := next((name for name in above if name in listed), ""):
            taken, branch = (name.removeprefix("refs/heads/") for name in (found, ref))
            msg = f"The remote has a branch {showable(taken)}, so it cannot have {branch}."
            raise BranchBlocked(msg)

    def _check_permission(self, base: Base, repository: str, ref: str) -> None:
        if time.monotonic() < self._permitted_s.get(repository, -_PERMITTED_S) + _PERMITTED_S:
            return
        ended = self._send(base.mirror, repository, base.commit, ref, "--dry-run")
        if ended.exit_code != 0:
            raise _explain(ended)
        self._permitted_s[repository] = time.monotonic()

    def find(
        self, git_dir: Path, repository: str, agent_id: str, *, prefix: str = AGENT_PREFIX
    ) -> str:
        """Return the commit of the agent's branch on the remote; empty if there is none.

        Raises:
            GitFailed: the remote cannot be read.
        """
        return self._listed(git_dir, repository, agent_ref(agent_id, prefix))

    def _send(
        self,
        git_dir: Path,
        repository: str,
        commit: str,
        ref: str,
        *options: str,
        instead_of: str = "",
    ) -> Ended:
        return self._git.attempt(
            "push",
            *options,
            "--porcelain",
            "--no-verify",
            f"--force-with-lease={ref}:{instead_of}",
            "--",
            repository,
            f"{commit}:{ref}",
            git_dir=git_dir,
            remote=repository,
        )

    def _read_back(self, git_dir: Path, repository: str, ref: str, ended: Ended) -> str:
        """Return the commit of this ref on the remote; empty if there is none."""
        try:
            return self._listed(git_dir, repository, ref)
        except (GitTimedOut, GitKilled, CredentialsUnavailable):
            raise
        except GitFailed as error:
            if ended.exit_code != 0:
                raise _explain(ended) from error
            msg = f"The push succeeded but could not be verified: {error.detail}"
            raise PushFailed(msg) from error

    def _listed(self, git_dir: Path, repository: str, ref: str) -> str:
        return self._heads(git_dir, repository, ref).get(ref, "")

    def _heads(self, git_dir: Path, repository: str, *refs: str) -> dict[str, str]:
        """Return the commits of these refs on the remote, and of others that end like them."""
        listing = self._git.run(
            "ls-remote", "--", repository, *refs, git_dir=git_dir, remote=repository
        )
        lines = listing.decode(errors="replace").splitlines()
        return {name: oid for oid, _, name in map(_partition, lines)}


def pushed_to(push_url: str | None, repository: str) -> str:
    """Return the push remote: the repository itself, or the remote of the settings."""
    if push_url is None:
        return repository
    return push_url.replace("{name}", repository_name(repository))


def _partition(line: str) -> tuple[str, str, str]:
    return line.partition("\t")


def _explain(ended: Ended) -> GitFailed:
    words = showable(ended.stderr)
    if ended.exit_code == 0:
        return PushFailed("The remote accepted the push but does not show the branch.")
    if line := _TURNED_DOWN.search(ended.stdout.decode(errors="replace")):
        return PushRefused(f"{showable(line[0])} {words}")
    return (PushRefused if _NOT_ALLOWED.search(words) else PushFailed)(words)
