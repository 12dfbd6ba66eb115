"""Errors of agents and of the programs they are."""

from __future__ import annotations

from orchestrator.errors.gates import RepoConfigInvalid
from orchestrator.errors.tree import OrchestratorError


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
    """The agent ended without a result, and printed what is not its protocol."""

    code = "agent_garbled"
    action = "Check that the backend's program and version are right (`orch doctor`)."


class AgentTimedOut(AgentFailed):
    """The agent did not finish in its time."""

    code = "agent_timed_out"
    action = "Give it smaller work items, or more time: `orch budget set time …`."


class AgentStalled(AgentFailed):
    """The agent said, spent and computed nothing for too long."""

    code = "agent_stalled"
    action = "Read `orch logs`: its last lines say what it waits for."


class AgentRestarting(AgentStalled):
    """The agent got nowhere, so another attempt goes on with it."""

    retryable = True
    action = "Nothing to do, unless it happens again: then read `orch logs`."


class ProviderLimited(AgentFailed):
    """The model's provider takes no more requests for now."""

    code = "provider_limited"
    retryable = True
    action = "Nothing to do: every agent of this backend waits until it takes them again."
    #: When that is, in seconds since 1970; None where it does not say.
    resets_at_s: float | None = None


class SessionLost(AgentFailed):
    """The agent's session could not be resumed, so a fresh one goes on with its work."""

    code = "session_lost"
    action = "Nothing to do: work items, findings and what was changed go on with it."


class HookFailed(AgentFailed):
    """A hook of the base commit failed."""

    code = "hook_failed"
    action = "Read `orch logs`; mend [hooks] of the base branch's orchestrator.toml."


class HooksInvalid(AgentFailed, RepoConfigInvalid):
    """The repository's hooks cannot be read."""

    code = "hooks_invalid"
    action = "Correct the file and key named above on the base branch."


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


class AgentEnded(OrchestratorError):
    """The agent has already ended, so it cannot be killed."""

    code = "agent_ended"
    action = "Nothing runs any more; read its end with `orch status`."


class KillUnconfirmed(OrchestratorError):
    """The agent is killed in the state, but nobody has confirmed that nothing of it runs."""

    code = "kill_unconfirmed"
    action = "Look at `orch receipt` again; on its host, `orch kill-all --local` ends what is left."


class Halted(OrchestratorError):
    """No new work is admitted: someone has halted the system."""

    code = "halted"
    action = "Ask who halted it; `orch resume --reason …` lifts it."


class WorkerStopping(OrchestratorError):
    """This worker stops, and gives its agents back."""

    code = "worker_stopping"
    retryable = True
    action = "Nothing to do: another worker goes on with the agent."
