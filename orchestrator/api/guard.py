"""Who may ask: a key, no page that a browser loaded from elsewhere; and what every answer says."""

from __future__ import annotations

from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.access import Keyring
from orchestrator.api.pages import LOGIN, page
from orchestrator.api.problems import SECURITY, of_error, problem
from orchestrator.errors import KeyRefused, OrchestratorError
from orchestrator.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: Where a browser keeps the key: an EventSource can send no header.
COOKIE = "orchestrator_key"
#: Asked for without a key: is it alive, the form that takes a key, the dashboard's own files.
_OPEN = frozenset({"", "health", "session", "static"})


class Guard:
    """Refuses requests before any route sees them."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._is_local = settings.host in LOOPBACK
        self._allowed = frozenset(settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request; pass on any other."""
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
        host = _name(headers.get("host", ""))
        is_restricted = self._is_local or self._allowed
        names = self._allowed | (LOOPBACK if self._is_local else frozenset())
        if is_restricted and host not in names:
            # DNS rebinding: a page's own name, made to point at this machine.
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This server answers to localhost and ORCHESTRATOR_ALLOWED_HOSTS only.",
            )
        origin = headers.get("origin")
        if origin is not None and _name(origin.partition("://")[2]) not in {host, *names} - {None}:
            # Any page may send a simple POST to localhost; its browser says where it is from.
            return problem(HTTPStatus.FORBIDDEN, "Pages of other origins may not use this server.")
        return None

    async def _unknown(self, scope: Scope) -> Response | None:
        # The first part of the path; that of the dashboard's page is empty.
        if scope["path"].removeprefix("/").partition("/")[0] in _OPEN:
            return None
        request = Request(scope)
        keyring: Keyring = request.app.state.keyring
        client = request.client.host if request.client else "client"
        try:
            flow = keyring.identify(_token_of(request.headers), client=client)
            request.state.caller = await request.app.state.store.follow(flow)
        except KeyRefused as error:
            if scope["method"] == "GET" and "text/html" in request.headers.get("accept", ""):
                return page(LOGIN, status=HTTPStatus.UNAUTHORIZED)
            return of_error(request, error)
        except OrchestratorError as error:
            return of_error(request, error)
        return None


def _token_of(headers: Headers) -> bytes:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    if not given:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None
        given = morsel.value if morsel else ""
    return given.encode("latin-1")


def _name(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None
