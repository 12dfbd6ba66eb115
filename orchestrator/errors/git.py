"""Errors of repositories, workspaces, changes and pushes."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class GitFailed(OrchestratorError):
    """Git could not do what was asked."""

    code = "git_failed"
    action = "Read git's words above; they name the cause."


class RepositoryUnavailable(GitFailed):
    """The repository cannot be read."""

    code = "repository_unavailable"
    action = "Check the address and that this host may read it: `git ls-remote <repository>`."


class RepositoryEmpty(GitFailed):
    """The repository has no commits."""

    code = "repository_empty"
    action = "Push a first commit, then spawn again."


class BranchUnknown(GitFailed):
    """The repository has no such branch."""

    code = "branch_unknown"
    action = "Name a branch that `git ls-remote --heads <repository>` lists."


class GitTimedOut(GitFailed):
    """Git did not finish in time."""

    code = "git_timed_out"
    retryable = True
    action = "Check the network and the remote; raise ORCHESTRATOR_GIT_TIMEOUT if it is only slow."


class ChangeConflicts(GitFailed):
    """The change conflicts with its target branch as it is now."""

    code = "change_conflicts"
    action = "Take the kept change with `orch export`, or spawn again from the branch as it is now."


class TargetMoves(GitFailed):
    """The target branch moved on each time the gates had passed."""

    code = "target_moves"
    retryable = True
    action = "Spawn again when it is quieter, or set ORCHESTRATOR_CONFLICT_POLICY=push-branch."


class CredentialsUnavailable(GitFailed):
    """There is no token for the remote."""

    code = "credentials_unavailable"
    retryable = True
    action = "Run what GIT_TOKEN_COMMAND says by hand: it must print one token and exit 0."


class PushRefused(GitFailed):
    """The remote refused the push."""

    code = "push_refused"
    action = "Read the remote's words above: grant the right to push agent/* branches."


class PushFailed(GitFailed):
    """The push did not reach the remote."""

    code = "push_failed"
    retryable = True
    action = "Check the network to the remote; the change is kept."


class WorkspaceLost(GitFailed):
    """The agent's workspace is gone or no longer a repository."""

    code = "workspace_lost"
    action = "The agent removed or broke its own worktree: read `orch logs`, then spawn again."


class WorkspaceInUse(GitFailed):
    """Another worker of this host has not let go of the agent's workspace."""

    code = "workspace_in_use"
    retryable = True
    action = "Continue or kill the worker process that is stopped; it is tried again by itself."


class DiskFull(GitFailed):
    """The disk that holds the workspace is full."""

    code = "disk_full"
    action = "Free space under ORCHESTRATOR_HOME, or move it to a larger disk."


class ChangeEmpty(GitFailed):
    """The agent changed nothing."""

    code = "change_empty"
    action = "Read `orch logs`; make the work items say what must differ in the tree."


class ChangeElsewhere(GitFailed):
    """The agent left its tree as it was, and work of it stands elsewhere in its repository."""

    code = "change_elsewhere"
    action = "Look with `orch diff ID --ref REF`, take it with `orch export ID --ref REF`."


class FilterUnsupported(GitFailed):
    """The repository keeps content outside of git, by a filter that is not run here."""

    code = "filter_unsupported"
    action = (
        "Name the filter in ORCHESTRATOR_STORED_FILTERS to let agents see what git stores (with Git"
        " LFS: pointers), or spawn from a branch that does without it."
    )


class ChangeTooLarge(GitFailed):
    """The agent's change is over the limit."""

    code = "change_too_large"
    action = "Ignore build output in .gitignore, or raise ORCHESTRATOR_CHANGE_LIMIT_MIB."


class ChangeRefused(GitFailed):
    """The agent's change is not something git accepts."""

    code = "change_refused"
    action = "Read `orch logs`: the change holds objects that fsck refuses, or submodules."


class ChangeMissing(GitFailed):
    """The agent's change is no longer in Valkey."""

    code = "change_missing"
    action = "Spawn again; check Valkey's memory policy (it must be noeviction)."


class IncludeTooLarge(GitFailed):
    """What `.worktreeinclude` names is over the limit."""

    code = "include_too_large"
    action = "Name less in .worktreeinclude of the base branch; install the rest in a hook."
