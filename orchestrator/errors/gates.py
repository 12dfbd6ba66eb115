"""Errors of gates and of the Coordinator: each means not approved."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class GatesRejected(OrchestratorError):
    """The quality gates rejected the change."""

    code = "gates_rejected"
    action = "Read `orch gates`: the report of each failed gate contains its findings."


class CoordinatorUnavailable(OrchestratorError):
    """The Coordinator does not answer, so that no change is approved."""

    code = "coordinator_unavailable"
    retryable = True
    action = "Check COORDINATOR_URL and the Coordinator; the change is retained."
    #: What it asked to wait (s) before the next try.
    retry_after_s = 0.0


class CoordinatorRefused(OrchestratorError):
    """The Coordinator's answer is invalid, so that no change is approved."""

    code = "coordinator_refused"
    action = "Check that COORDINATOR_URL names a Coordinator, and that it accepts this system."


class RepoConfigInvalid(OrchestratorError):
    """The repository's configuration is invalid."""

    code = "repo_config_invalid"
    action = "Correct the file and key named above on the base branch."


class PlanInvalid(RepoConfigInvalid):
    """The repository's gate configuration is invalid."""

    code = "plan_invalid"
    action = "Correct the file and key named above on the base branch."


class EnvironmentFailed(OrchestratorError):
    """The environment of the repository could not be set up, so that the agent is not started."""

    code = "environment_failed"
    action = "Fix what the message names, then spawn again; no tokens were spent."


class PlanUnrunnable(OrchestratorError):
    """The gates of the base commit cannot approve any change, so that the agent is not started."""

    code = "plan_unrunnable"
    action = "Fix what the message names; `orch gates plan` shows the whole plan."
