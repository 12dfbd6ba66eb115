"""The one-time login over HTTP: it needs no key, and returns one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.auth import client_of
from orchestrator.api.http.endpoint import Endpoint, body_of, store_of
from orchestrator.api.http.schemas import LoggedIn, LoginBody
from orchestrator.control.logins import Logins

#: Any client may send this body.
_LIMIT_BYTES = 4096


async def login(request: Request) -> JSONResponse:
    """Exchange the code of a login address for a key."""
    logins: Logins = request.app.state.logins
    body = await body_of(request, LoginBody, limit_bytes=_LIMIT_BYTES)
    flow = logins.exchange(body.code, client=client_of(request))
    token = await store_of(request).follow(flow)
    return JSONResponse(LoggedIn(key=token).wire())


ENDPOINTS = [
    Endpoint(
        *("POST", "/login", login, "Exchange the code of a login address for a key, once"),
        answers={200: (LoggedIn,)},
        scope=None,
        body=LoginBody,
        is_body_required=True,
        refusals=(401, 422, 503),
    ),
]
