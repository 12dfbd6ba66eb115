"""Errors of the audit."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class AuditBroken(OrchestratorError):
    """The audit in Valkey differs from what this system wrote, so that no entry is added."""

    code = "audit_broken"
    action = (
        "Run `orch audit --verify`; to start a new chain and keep the evidence, RENAME"
        " orchestrator:audit and orchestrator:audit:head."
    )


class AuditBusy(OrchestratorError):
    """Other processes append to the audit at the same time."""

    code = "audit_busy"
    retryable = True
    action = "Try again."
