"""The one tree of errors: each class has a stable code, whether a retry can help, and what to do.

A class's docstring is its default message; `str(error)` is always one line a user can act on.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class OrchestratorError(Exception):
    """Something the orchestrator could not do."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    action: ClassVar[str] = "Run `orch doctor`, and read the worker's log."

    def __init__(self, detail: str = "", *, action: str = "") -> None:
        self.detail = " ".join((detail or inspect.getdoc(self) or self.code).split())
        self.what_to_do = action or self.action
        super().__init__(f"{self.detail} {self.what_to_do}".strip())


# ── settings and the machine ────────────────────────────────────────────────────────────────


class SettingsInvalid(OrchestratorError):
    """A setting has a value that cannot be used."""

    code = "settings_invalid"
    action = "Correct the variable named above and start again."


class PortInUse(OrchestratorError):
    """A port this system must listen on is taken."""

    code = "port_in_use"
    action = "Stop what listens there, or choose another port."


class SystemNotRunning(OrchestratorError):
    """No orchestrator runs here."""

    code = "not_running"
    action = "Start one with `orch up --detach`, or set VALKEY_URL to the server of one that runs."


class SystemAlreadyRunning(OrchestratorError):
    """An orchestrator already runs from this ORCHESTRATOR_HOME."""

    code = "already_running"
    action = "Use it, or end it with `orch down`."


class StartFailed(OrchestratorError):
    """A part of the system did not become ready."""

    code = "start_failed"
    action = "Read the log named above."


# ── store: absent, refused and unreachable are three different things ───────────────────────


class StoreUnreachable(OrchestratorError):
    """Valkey does not answer."""

    code = "valkey_unreachable"
    retryable = True
    action = "Check that Valkey runs and that VALKEY_URL names it; `orch doctor` tells."


class StoreRefused(OrchestratorError):
    """Valkey answers, but will not do it."""

    code = "valkey_refused"
    retryable = True
    action = "Read its words above: it may be out of memory or disk, or a read-only replica."


class RecordMalformed(OrchestratorError):
    """A record in Valkey is not what this version writes."""

    code = "record_malformed"
    action = "Someone else wrote to this key: restore it or delete it."


class NotFound(OrchestratorError):
    """There is no such record."""

    code = "not_found"
    action = "List what there is with `orch ls`."


class TransitionRefused(OrchestratorError):
    """The agent's state does not allow this step."""

    code = "transition_refused"
    action = "Read the agent's state with `orch status`."


class AttemptStale(TransitionRefused):
    """A newer attempt owns this agent; this one may write nothing."""

    code = "attempt_stale"
    action = "Nothing to do: the newer attempt goes on."


# ── requests ────────────────────────────────────────────────────────────────────────────────


class RequestInvalid(OrchestratorError):
    """The request is not valid."""

    code = "request_invalid"
    action = "Correct every fault listed and send it again."

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{path}: {message}" for path, message in faults) + ".")


class IdempotencyConflict(OrchestratorError):
    """This Idempotency-Key was used before with another body."""

    code = "idempotency_conflict"
    action = "Send the first body again, or use a new key."


# ── git ─────────────────────────────────────────────────────────────────────────────────────


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


class DiskFull(GitFailed):
    """The disk that holds the workspace is full."""

    code = "disk_full"
    action = "Free space under ORCHESTRATOR_HOME, or move it to a larger disk."


class ChangeEmpty(GitFailed):
    """The agent changed nothing."""

    code = "change_empty"
    action = "Read `orch logs`; make the work items say what must differ in the tree."


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


# ── agents ──────────────────────────────────────────────────────────────────────────────────


class BackendUnknown(OrchestratorError):
    """There is no agent backend of this name."""

    code = "backend_unknown"
    action = "Use one that `orch doctor` lists."


class BackendUnavailable(OrchestratorError):
    """The agent's program cannot be started."""

    code = "backend_unavailable"
    action = "Run `orch doctor`: it says what this backend lacks."


class AgentFailed(OrchestratorError):
    """The agent ended without doing its work."""

    code = "agent_failed"
    action = "Read `orch logs`, mend the cause, and spawn again."


class AgentCrashed(AgentFailed):
    """The agent was ended by a signal."""

    code = "agent_crashed"


class AgentGarbled(AgentFailed):
    """The agent printed what is not its protocol."""

    code = "agent_garbled"
    action = "Check that the backend's program and version are right (`orch doctor`)."


class OutputTooLong(AgentFailed):
    """The agent printed a line over the limit."""

    code = "output_too_long"
    action = "Make the agent write large output to files."


class AgentTimedOut(AgentFailed):
    """The agent did not finish in its time."""

    code = "agent_timed_out"
    action = "Give it smaller work items, or raise ORCHESTRATOR_AGENT_TIMEOUT."


class AgentKilled(OrchestratorError):
    """The agent was killed."""

    code = "agent_killed"
    action = "Nothing to do: someone asked for it."


class WaitTimedOut(OrchestratorError):
    """The agent did not end while we waited."""

    code = "wait_timed_out"
    action = "It goes on: wait again, or read `orch logs`."


class LeaseLost(OrchestratorError):
    """The worker that ran this agent stopped renewing its lease."""

    code = "lease_lost"
    retryable = True
    action = "Check the worker's host, then spawn again."


# ── gates ───────────────────────────────────────────────────────────────────────────────────


class GatesRejected(OrchestratorError):
    """The change did not pass its quality gates."""

    code = "gates_rejected"
    action = "Read the gate report: each failed gate says what it found."


class CoordinatorUnavailable(OrchestratorError):
    """The Coordinator does not answer, so nothing is approved."""

    code = "coordinator_unavailable"
    retryable = True
    action = "Check COORDINATOR_URL and the Coordinator; the change is kept."
    #: What it asked to wait (s) before the next try.
    retry_after_s = 0.0


class CoordinatorRefused(OrchestratorError):
    """The Coordinator answered, but not with a quality check, so nothing is approved."""

    code = "coordinator_refused"
    action = "Check that COORDINATOR_URL names a Coordinator and that it accepts this one."


class PlanInvalid(OrchestratorError):
    """The repository's gate configuration cannot be read."""

    code = "plan_invalid"
    action = "Correct the file and key named above on the base branch."
