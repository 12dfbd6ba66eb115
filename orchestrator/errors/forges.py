"""Errors of code hosts: the branch is pushed, and no request to merge it is open."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class ForgeUnavailable(OrchestratorError):
    """The forge does not answer, so that no pull or merge request was opened."""

    code = "forge_unavailable"
    retryable = True
    action = "Check the network to the forge. The branch is pushed: open the request by hand."
    #: What it asked to wait (s) before the next try.
    retry_after_s = 0.0


class ForgeRefused(OrchestratorError):
    """The forge refused to open a pull or merge request."""

    code = "forge_refused"
    action = "Check ORCHESTRATOR_FORGE, its URL, and that the token can open requests."
