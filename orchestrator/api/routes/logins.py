"""The one-time login over HTTP: it needs no key, and returns one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint, body_of, store_of
from orchestrator.api.http.schemas import LoggedIn, LoginBody
from orchestrator.control.logins import Logins


async def login(request: Request) -> JSONResponse:
    """Exchange the code of a login address for a key."""
    logins: Logins = request.app.state.logins
    body = await body_of(request, LoginBody)
    client = request.client.host if request.client else "client"
    token = await store_of(request).follow(logins.exchange(body.code, client=client))
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
