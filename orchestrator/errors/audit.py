"""Errors of the audit."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class AuditBroken(OrchestratorError):
    """The audit in Valkey is not what this system wrote; nothing is chained to it."""

    code = "audit_broken"
    action = (
        "Run `orch audit --verify`; RENAME orchestrator:audit and orchestrator:audit:head to keep"
        " them as evidence, and a new chain begins."
    )


class AuditBusy(OrchestratorError):
    """Others append to the audit faster than this one could."""

    code = "audit_busy"
    retryable = True
    action = "Try again."
