"""Maps every error to an `application/problem+json` document (RFC 9457) and an HTTP status."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ExceptionHandler

from orchestrator.errors import (
    AgentEnded,
    AuditBroken,
    AuditBusy,
    BudgetExhausted,
    ChangeMissing,
    ChangeRefused,
    ChangeTooLarge,
    DollarsExhausted,
    GitFailed,
    Halted,
    IdAmbiguous,
    IdempotencyConflict,
    KeyRefused,
    KillUnconfirmed,
    LimitInvalid,
    NotFound,
    OrchestratorError,
    PriceUnknown,
    RateLimited,
    RequestInvalid,
    ScopeMissing,
    StoreRefused,
    StoreUnreachable,
    TransitionRefused,
)

#: The security headers of every response, unless a page has its own policy.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_STATUS: dict[type[OrchestratorError], HTTPStatus] = {
    RequestInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    LimitInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    PriceUnknown: HTTPStatus.UNPROCESSABLE_ENTITY,
    IdempotencyConflict: HTTPStatus.CONFLICT,
    IdAmbiguous: HTTPStatus.CONFLICT,
    AuditBroken: HTTPStatus.SERVICE_UNAVAILABLE,
    AuditBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    KeyRefused: HTTPStatus.UNAUTHORIZED,
    ScopeMissing: HTTPStatus.FORBIDDEN,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    NotFound: HTTPStatus.NOT_FOUND,
    ChangeMissing: HTTPStatus.NOT_FOUND,
    # The change is as it is: another format of it can still be had.
    ChangeRefused: HTTPStatus.CONFLICT,
    ChangeTooLarge: HTTPStatus.CONFLICT,
    TransitionRefused: HTTPStatus.CONFLICT,
    AgentEnded: HTTPStatus.CONFLICT,
    BudgetExhausted: HTTPStatus.TOO_MANY_REQUESTS,
    DollarsExhausted: HTTPStatus.TOO_MANY_REQUESTS,
    Halted: HTTPStatus.TOO_MANY_REQUESTS,
    KillUnconfirmed: HTTPStatus.GATEWAY_TIMEOUT,
    # The repository of the agent failed, not this server.
    GitFailed: HTTPStatus.BAD_GATEWAY,
    StoreRefused: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
}


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    title: str = "",
    errors: tuple[tuple[str, str], ...] = (),
    headers: Mapping[str, str] | None = None,
    facts: Mapping[str, int] | None = None,
) -> JSONResponse:
    """Return a problem document; without a code its type is `about:blank`.

    `facts` are further members beside those of the standard.
    """
    document: dict[str, Any] = {
        "type": f"urn:orchestrator:error:{code}" if code else "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(facts or {}),
    }
    if errors:
        document["errors"] = [{"path": path, "message": message} for path, message in errors]
    return JSONResponse(document, status, headers, media_type="application/problem+json")


def of_error(_request: Request, error: Exception) -> JSONResponse:
    """Return the problem document of any error."""
    if isinstance(error, OrchestratorError):
        status = next(
            (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS),
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )
        return problem(
            status,
            str(error),
            code=error.code,
            title=inspect.getdoc(type(error)) or "",
            errors=error.faults if isinstance(error, RequestInvalid) else (),
            headers=_headers_of(error),
            facts=_facts_of(error),
        )
    if isinstance(error, HTTPException):
        return problem(error.status_code, error.detail, headers=error.headers)
    # The response does not contain the cause; the server logs it when this error reaches it.
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"This request could not be served. {OrchestratorError.action}",
        code=OrchestratorError.code,
        # Starlette builds it outside the guard, which adds these headers to all other responses.
        headers=SECURITY,
    )


def _headers_of(error: OrchestratorError) -> Mapping[str, str]:
    if isinstance(error, KeyRefused):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, RateLimited):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, BudgetExhausted | DollarsExhausted):
        return {"Retry-After": str(error.resets_in_s)}
    return {}


def _facts_of(error: OrchestratorError) -> Mapping[str, int]:
    if not isinstance(error, BudgetExhausted):
        return {}
    names = ("limit", "used", "reserved", "asked")
    return {name: getattr(error, name) for name in names}


#: For `Starlette(exception_handlers=…)`.
HANDLERS: dict[Any, ExceptionHandler] = dict.fromkeys(
    (OrchestratorError, HTTPException, Exception), of_error
)
