"""Errors of gates and of the Coordinator: each means not approved."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


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


class RepoConfigInvalid(OrchestratorError):
    """The repository's configuration cannot be used."""

    code = "repo_config_invalid"
    action = "Correct the file and key named above on the base branch."


class PlanInvalid(RepoConfigInvalid):
    """The repository's gate configuration cannot be read."""

    code = "plan_invalid"
    action = "Correct the file and key named above on the base branch."


class PlanUnrunnable(OrchestratorError):
    """The gates of the base commit cannot approve any change, so the agent is not started."""

    code = "plan_unrunnable"
    action = "Mend what is named above; `orch gates plan` shows the whole plan."
