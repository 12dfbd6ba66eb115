"""The guard: authenticates requests, refuses foreign origins, and sets security headers."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.http.problems import SECURITY, of_error, problem
from orchestrator.control.api_keys import ApiKeys
from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: The first path parts that need no key: the health check and the pages.
_OPEN = frozenset({"", "docs", "health", "static"})


class Guard:
    """Refuses requests before they reach a route."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._is_local = settings.host in LOOPBACK
        #: As written, with or without a port.
        self._allowed = frozenset(settings.allowed_hosts)
        self._names = self._allowed | {_name(authority) for authority in self._allowed}
        if self._is_local:
            self._names |= LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request; forward any other request to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._elsewhere(scope) or await self._unknown(scope)
        await (refusal or self._app)(scope, receive, send_safely)

    def _elsewhere(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self._names and _name(host) not in self._names:
            # DNS rebinding: the name of a foreign page that resolves to this machine.
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "The Host header must be localhost or one of ORCHESTRATOR_ALLOWED_HOSTS.",
            )
        origin = headers.get("origin")
        own = {host, *self._allowed}
        if origin is not None and origin.lower().partition("://")[2] not in own:
            # Any page may send a simple POST to localhost; its browser sends the page's origin. The
            # comparison includes the port, because another program may serve another port.
            return problem(HTTPStatus.FORBIDDEN, "Requests of other origins are refused.")
        return None

    async def _unknown(self, scope: Scope) -> Response | None:
        # The first part of the path; it is empty for the dashboard.
        if scope["path"].removeprefix("/").partition("/")[0] in _OPEN:
            return None
        request = Request(scope)
        api_keys: ApiKeys = request.app.state.api_keys
        client = request.client.host if request.client else "client"
        try:
            flow = api_keys.identify(_token_of(request.headers), client=client)
            request.state.caller = await request.app.state.store.follow(flow)
        except OrchestratorError as error:
            return of_error(request, error)
        return None


def _token_of(headers: Headers) -> bytes:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    return given.encode("latin-1")


def _name(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None
