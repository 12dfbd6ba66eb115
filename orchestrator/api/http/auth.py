"""The guard: authenticates requests, refuses foreign origins, and sets security headers."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.http.problems import SECURITY, of_error, problem
from orchestrator.control.api_keys import ApiKeys
from orchestrator.errors import KeyRefused, OrchestratorError
from orchestrator.host.agent_sockets import is_of_agent
from orchestrator.models import Caller
from orchestrator.settings import LOOPBACK, Settings

#: The first path parts that need no key: the health check, the pages, and the one-time login.
_OPEN = frozenset({"", "docs", "health", "login", "static"})


class Guard:
    """Refuses requests before they reach a route."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._is_local = settings.host in LOOPBACK
        self._home = settings.home
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
        try:
            request.state.caller = await identify(request)
            if not request.state.caller.has_key:
                await self._check_client(request)
        except OrchestratorError as error:
            return of_error(request, error)
        return None

    async def _check_client(self, request: Request) -> None:
        """Check that a client without a key is no process of an agent on this host.

        Raises:
            KeyRefused: it is one.
        """
        client, server = request.client, request.scope["server"]
        if not self._is_local or client is None or server is None or server[1] is None:
            return
        # A connection stays with the process that made it, so one look is enough.
        memory = request.scope.get("connection", {})
        if "is_of_agent" not in memory:
            memory["is_of_agent"] = await run_in_threadpool(
                is_of_agent, self._home, client_port=client.port, server_port=server[1]
            )
        if memory["is_of_agent"]:
            msg = "Without an API key, the API answers no process of an agent."
            raise KeyRefused(msg)


async def identify(request: Request) -> Caller:
    """Return the caller of a request; raises as `ApiKeys.identify` does."""
    api_keys: ApiKeys = request.app.state.api_keys
    flow = api_keys.identify(_token_of(request.headers), client=client_of(request))
    caller: Caller = await request.app.state.store.follow(flow)
    return caller


def client_of(request: Request) -> str:
    """Return the address of the client."""
    return request.client.host if request.client else "client"


def _token_of(headers: Headers) -> bytes:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    return given.encode("latin-1")


def _name(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None
