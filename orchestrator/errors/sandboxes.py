"""Errors of what programs run in."""

from __future__ import annotations

from orchestrator.errors.agents import AgentFailed
from orchestrator.errors.tree import OrchestratorError


class SandboxUnavailable(OrchestratorError):
    """The Docker engine does not answer."""

    code = "sandbox_unavailable"
    retryable = True
    action = "Start Docker, let this user open its socket, or set DOCKER_SOCKET."


class SandboxLost(OrchestratorError):
    """What a program ran in ended under it."""

    code = "sandbox_lost"
    retryable = True
    action = "Nothing to do if the Docker engine was restarted: another attempt goes on."


class SandboxLimit(AgentFailed):
    """The agent needed more than its sandbox gives."""

    code = "sandbox_limit"
    action = "Give it smaller work items, or raise the limit named above."
