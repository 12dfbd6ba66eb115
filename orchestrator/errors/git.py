"""Errors of repositories, workspaces, changes and pushes."""

from __future__ import annotations

import errno

from orchestrator.errors.tree import OrchestratorError

#: Without inodes, a disk says that it has no space.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class GitFailed(OrchestratorError):
    """A git command failed."""

    code = "git_failed"
    action = "Read the message of git: it names the cause."


class RepositoryUnavailable(GitFailed):
    """The repository cannot be read."""

    code = "repository_unavailable"
    action = "Check the URL, and that this host has read permission: `git ls-remote <repository>`."


class RepositoryEmpty(GitFailed):
    """The repository has no commits."""

    code = "repository_empty"
    action = "Push a first commit, then spawn again."


class BranchUnknown(GitFailed):
    """The repository has no branch with this name."""

    code = "branch_unknown"
    action = "Name a branch that `git ls-remote --heads <repository>` lists."


class GitTimedOut(GitFailed):
    """A git command reached its time limit."""

    code = "git_timed_out"
    retryable = True
    action = "Check the network and the remote; if they are slow, raise ORCHESTRATOR_GIT_TIMEOUT."


class GitKilled(GitFailed):
    """A git command was ended by a signal that this system did not send."""

    code = "git_killed"
    retryable = True
    action = "Read the kernel's log of the host: the memory may have run out."


class ChangeConflicts(GitFailed):
    """The change conflicts with the current target branch."""

    code = "change_conflicts"
    action = "Export the retained change with `orch export`, or spawn again."


class TargetMoves(GitFailed):
    """The target branch changed each time that the gates had approved the change."""

    code = "target_moves"
    retryable = True
    action = "Spawn again later, or set ORCHESTRATOR_CONFLICT_POLICY=push-branch."


class CredentialsUnavailable(GitFailed):
    """No token for the remote is available."""

    code = "credentials_unavailable"
    retryable = True
    action = "Run the command in GIT_TOKEN_COMMAND by hand: it must print one token and exit 0."


class BranchBlocked(GitFailed):
    """The remote has a branch whose name excludes the branch of the agent."""

    code = "branch_blocked"
    action = (
        "Rename that branch, or set another prefix: `branch_prefix` in [delivery] of the"
        " repository's configuration, or ORCHESTRATOR_BRANCH_PREFIX. Then `orch retry`."
    )


class PushRefused(GitFailed):
    """The remote refused the push."""

    code = "push_refused"
    action = "Read the message of the remote, and grant the permission to push agent/* branches."


class PushFailed(GitFailed):
    """The push did not reach the remote."""

    code = "push_failed"
    retryable = True
    action = "Check the network to the remote; the change is retained."


class WorkspaceLost(GitFailed):
    """The agent's workspace does not exist or is not a repository."""

    code = "workspace_lost"
    action = "The agent removed or broke its own worktree: read `orch logs`, then spawn again."


class WorkspaceInUse(GitFailed):
    """Another worker of this host still uses the agent's workspace."""

    code = "workspace_in_use"
    retryable = True
    action = "Continue or kill the stopped worker process; the agent is retried automatically."


class DiskFull(GitFailed):
    """The disk that holds the workspace has no space or inode left, or is read-only."""

    code = "disk_full"
    # The next attempt does not start before there is space again.
    retryable = True
    action = (
        "Free space and inodes under ORCHESTRATOR_HOME (`df`, `df -i`), or move it to a larger"
        " disk. If it is read-only, read the kernel's log, and mount it again."
    )

    @staticmethod
    def is_cause_of(error: Exception) -> bool:
        """Return whether the system refused a write because of its disk."""
        return isinstance(error, OSError) and error.errno in _UNWRITABLE


class ChangeEmpty(GitFailed):
    """The agent changed nothing."""

    code = "change_empty"
    action = "Read `orch logs`; state in the work items what must differ in the tree."


class ChangeElsewhere(GitFailed):
    """The agent did not change its tree, but its repository contains commits outside it."""

    code = "change_elsewhere"
    action = "Print one with `orch diff ID --ref REF`; export it with `orch export ID --ref REF`."


class FilterUnsupported(GitFailed):
    """The repository uses an external filter, such as Git LFS, which does not run here."""

    code = "filter_unsupported"
    action = (
        "Add the filter to ORCHESTRATOR_STORED_FILTERS, so that agents see what git stores (with"
        " Git LFS: pointers), or spawn from a branch without the filter."
    )


class ChangeTooLarge(GitFailed):
    """The agent's change is larger than the limit."""

    code = "change_too_large"
    action = "Add build output to .gitignore, or raise ORCHESTRATOR_CHANGE_LIMIT_MIB."


class ChangeRefused(GitFailed):
    """Git refuses the agent's change."""

    code = "change_refused"
    action = "Read `orch logs`: the change contains objects that fsck refuses, or new submodules."


class ChangeMissing(GitFailed):
    """Valkey does not contain the agent's change any more."""

    code = "change_missing"
    action = "Spawn again; check Valkey's memory policy (it must be noeviction)."


class IncludeTooLarge(GitFailed):
    """The files that `.worktreeinclude` lists are larger than the limit."""

    code = "include_too_large"
    action = "List fewer files in .worktreeinclude of the base branch; install the rest in a hook."
