"""Errors of Valkey: absent, refused and unreachable are three different things."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


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


class ArgumentRefused(OrchestratorError):
    """A value cannot be stored as it is: it is no number, not finite, out of bounds or no JSON."""

    code = "argument_refused"
    action = "Nothing was written. Correct the value that the message names."


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
