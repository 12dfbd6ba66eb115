"""Errors of requests."""

from __future__ import annotations

from orchestrator.errors.store import NotFound
from orchestrator.errors.tree import OrchestratorError


class RequestInvalid(OrchestratorError):
    """The request is not valid."""

    code = "request_invalid"
    action = "Correct each listed fault, and send the request again."

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{path}: {message}" for path, message in faults) + ".")


class IdAmbiguous(OrchestratorError):
    """Several ids begin with this prefix."""

    code = "id_ambiguous"
    action = "Give more characters."

    def __init__(self, given: str, candidates: tuple[str, ...], *, has_more: bool = False) -> None:
        self.candidates = candidates
        rest = ", …" if has_more else ""
        super().__init__(f"{given} begins several ids: {', '.join(candidates)}{rest}.")


class CursorUnknown(NotFound):
    """The cursor names no agent of this list."""

    code = "cursor_unknown"
    action = "Read the list again from its beginning, without a cursor."


class ApiUnreachable(OrchestratorError):
    """The HTTP API does not answer."""

    code = "api_unreachable"
    retryable = True
    action = "Check --api, ORCHESTRATOR_API_URL or the context, and that the API runs there."


class ApiRefused(OrchestratorError):
    """The HTTP API refused the request."""

    code = "api_refused"
    action = ""

    def __init__(self, detail: str, *, remote_code: str = "") -> None:
        #: The code of the error that the server reported; empty if its answer has none.
        self.remote_code = remote_code
        super().__init__(detail)


class ApiLacks(OrchestratorError):
    """This command needs Valkey or this host: it does not work over HTTP."""

    code = "api_lacks"
    action = "Run it on a host of the system, without --api, --context and ORCHESTRATOR_API_URL."


class ContextInvalid(OrchestratorError):
    """The context of `orch` cannot be used."""

    code = "context_invalid"
    action = "`orch context ls` lists the contexts, `orch context add` stores one."


class IdempotencyConflict(OrchestratorError):
    """This Idempotency-Key was used for another body."""

    code = "idempotency_conflict"
    action = "Send the first body again, or use a new key."
