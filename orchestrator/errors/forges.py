"""Errors of code hosts: the branch is pushed, the request to merge it is not open."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class ForgeUnavailable(OrchestratorError):
    """The forge does not answer, so no pull or merge request is open."""

    code = "forge_unavailable"
    retryable = True
    action = (
        "Check the network to the forge; the branch is pushed: the request can be opened there."
    )
    #: What it asked to wait (s) before the next try.
    retry_after_s = 0.0


class ForgeRefused(OrchestratorError):
    """The forge refused to open a pull or merge request."""

    code = "forge_refused"
    action = "Check ORCHESTRATOR_FORGE, its address, and that the token may open requests there."
