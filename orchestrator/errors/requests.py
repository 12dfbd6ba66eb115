"""Errors of requests."""

from __future__ import annotations

from orchestrator.errors.tree import OrchestratorError


class RequestInvalid(OrchestratorError):
    """The request is not valid."""

    code = "request_invalid"
    action = "Correct each listed fault, and send the request again."

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{path}: {message}" for path, message in faults) + ".")


class IdempotencyConflict(OrchestratorError):
    """This Idempotency-Key was used for another body."""

    code = "idempotency_conflict"
    action = "Send the first body again, or use a new key."
