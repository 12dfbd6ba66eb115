"""Errors of Valkey: no record, a refused command, no answer."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class StoreUnreachable(OrchestratorError):
    """Valkey does not answer."""

    code = "valkey_unreachable"
    retryable = True
    action = "Check that Valkey runs and that VALKEY_URL names it; `orch doctor` checks both."


class StoreRefused(OrchestratorError):
    """Valkey refused the command."""

    code = "valkey_refused"
    retryable = True
    action = "Read the message of Valkey: it lacks memory or disk space, or is a read-only replica."


class ArgumentRefused(OrchestratorError):
    """A value cannot be stored: it is no number, not finite, out of bounds or no JSON."""

    code = "argument_refused"
    action = "Nothing was written. Correct the value that the message names."


class RecordMalformed(OrchestratorError):
    """This version cannot read a record in Valkey."""

    code = "record_malformed"
    action = "Another version or program wrote this key: restore it or delete it."


class ObjectDamaged(OrchestratorError):
    """A large value in Valkey lacks a piece, or does not match its digest."""

    code = "object_damaged"
    action = "Everything else is intact. Restore Valkey from a backup, or spawn the agent again."


class NotFound(OrchestratorError):
    """The record does not exist."""

    code = "not_found"
    action = "List the agents with `orch ls`."


class TransitionRefused(OrchestratorError):
    """The agent's state does not allow this step."""

    code = "transition_refused"
    action = "Read the agent's state with `orch status`."


class AttemptStale(TransitionRefused):
    """A newer attempt owns this agent, so that this attempt cannot write."""

    code = "attempt_stale"
    action = "No action is needed: the newer attempt continues."
