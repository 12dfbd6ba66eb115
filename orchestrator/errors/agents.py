"""Errors of agents and of their programs."""

from __future__ import annotations

from orchestrator.errors.gates import RepoConfigInvalid
from orchestrator.errors.tree import OrchestratorError


class BackendUnknown(OrchestratorError):
    """No agent backend has this name."""

    code = "backend_unknown"
    action = "Use a backend that `orch doctor` lists."


class BackendUnavailable(OrchestratorError):
    """The agent's program cannot be started."""

    code = "backend_unavailable"
    action = "Run `orch doctor`: it names what this backend lacks."


class AgentFailed(OrchestratorError):
    """The agent ended without completing its work."""

    code = "agent_failed"
    action = "Read `orch logs`, fix the cause, and spawn again."


class AgentCrashed(AgentFailed):
    """A signal ended the agent's program."""

    code = "agent_crashed"


class AgentGarbled(AgentFailed):
    """The agent ended without a result, and its output is not in the backend's protocol."""

    code = "agent_garbled"
    action = "Check that the backend's program and version are right (`orch doctor`)."


class AgentTimedOut(AgentFailed):
    """The agent reached its time limit."""

    code = "agent_timed_out"
    action = "Give it smaller work items, or more time: `orch budget set time …`."


class AgentStalled(AgentFailed):
    """The agent had no output, no tokens and no processor time for too long."""

    code = "agent_stalled"
    action = "Read `orch logs`: the last lines show what the agent waits for."


class AgentRestarting(AgentStalled):
    """The agent stalled, so that another attempt continues it."""

    retryable = True
    action = "No action is needed. If it happens again, read `orch logs`."


class ProviderLimited(AgentFailed):
    """The provider of the model accepts no requests at present."""

    code = "provider_limited"
    retryable = True
    action = (
        "No action is needed: all agents of this backend and model wait, and then continue; those"
        " with a `fallback` use it."
    )
    #: When that is, in seconds since 1970; None where it does not say.
    resets_at_s: float | None = None


class FallbackUnavailable(OrchestratorError):
    """The program of a fallback cannot be started, so that the next choice is tried."""

    code = "fallback_unavailable"
    retryable = True
    action = "No action is needed for this agent. `orch doctor` names what the backend lacks."


class SessionLost(AgentFailed):
    """The agent's session could not be resumed, so that a fresh one continues the work."""

    code = "session_lost"
    action = "No action is needed: the fresh session gets work items, findings and change."


class HookFailed(AgentFailed):
    """A hook of the base commit failed."""

    code = "hook_failed"
    action = "Read `orch logs`, and correct [hooks] of the repository on its base branch."


class HooksInvalid(AgentFailed, RepoConfigInvalid):
    """The repository's hooks cannot be read."""

    code = "hooks_invalid"
    action = "Correct the file and key named above on the base branch."


class AgentKilled(OrchestratorError):
    """The agent was killed."""

    code = "agent_killed"
    action = "Read `orch receipt`: it names who killed the agent, and why."


class WaitTimedOut(OrchestratorError):
    """The agent did not end within the timeout."""

    code = "wait_timed_out"
    action = "The agent continues: wait again, or read `orch logs`."


class LeaseLost(OrchestratorError):
    """The worker that ran this agent stopped renewing its lease."""

    code = "lease_lost"
    retryable = True
    action = "Check the worker's host, then spawn again."


class AgentEnded(OrchestratorError):
    """The agent has already ended, so it cannot be killed."""

    code = "agent_ended"
    action = "Read the outcome with `orch status`."


class KillUnconfirmed(OrchestratorError):
    """The agent's state is killed, but no worker has confirmed the end of its processes."""

    code = "kill_unconfirmed"
    action = "Run `orch receipt` again; on its host, `orch kill-all --local` ends all agents."


class Halted(OrchestratorError):
    """The system is halted, so that no new work is admitted."""

    code = "halted"
    action = "Ask the person who halted it; `orch resume --reason …` lifts the halt."


class WorkerStopping(OrchestratorError):
    """This worker stops, and requeues its agents."""

    code = "worker_stopping"
    retryable = True
    action = "No action is needed: another worker continues the agent."
