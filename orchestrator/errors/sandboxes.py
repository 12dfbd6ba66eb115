"""Errors of sandboxes."""

from __future__ import annotations

from orchestrator.errors.agents import AgentFailed
from orchestrator.errors.tree import OrchestratorError


class SandboxUnavailable(OrchestratorError):
    """The Docker Engine does not answer."""

    code = "sandbox_unavailable"
    retryable = True
    action = "Start Docker, give this user access to its socket, or set DOCKER_SOCKET."


class SandboxLost(OrchestratorError):
    """The sandbox of a program ended before the program."""

    code = "sandbox_lost"
    retryable = True
    action = "If the Docker Engine was restarted, no action is needed: another attempt continues."


class SandboxLimit(AgentFailed):
    """The agent reached a limit of its sandbox."""

    code = "sandbox_limit"
    action = "Give it smaller work items, or raise the limit that the message names."
