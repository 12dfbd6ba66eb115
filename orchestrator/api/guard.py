"""Who may ask: the API key, and on loopback no page that a browser loaded from elsewhere."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.problems import problem
from orchestrator.models import Caller, KeyScope
from orchestrator.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Refuses requests before any route sees them."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._is_local = settings.host in LOOPBACK
        self._key = settings.api_key.get_secret_value().encode() if settings.api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request; pass on any other."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        client = (scope.get("client") or ("client",))[0]
        scope.setdefault("state", {})["caller"] = Caller(
            name=f"HTTP {client}", scopes=frozenset(KeyScope), has_key=False
        )
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._is_local and not _is_loopback(headers.get("host", "")):
            # DNS rebinding: a page's own name, made to point at this machine.
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This server answers to localhost, 127.0.0.1 and [::1] only.",
            )
        origin = headers.get("origin")
        if self._is_local and origin is not None and not _is_loopback(origin.partition("://")[2]):
            # Any page may send a simple POST to localhost; its browser says where it is from.
            return problem(HTTPStatus.FORBIDDEN, "Pages of other origins may not use this server.")
        if self._key is None or _is_health(scope["path"]):
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
        if hmac.compare_digest(given.encode("latin-1"), self._key):
            return None
        return problem(
            HTTPStatus.UNAUTHORIZED,
            "Send the key as X-API-Key or as Authorization: Bearer.",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _is_health(path: str) -> bool:
    return path == "/health" or path.startswith("/health/")


def _is_loopback(authority: str) -> bool:
    try:
        return urlsplit(f"//{authority}").hostname in LOOPBACK
    except ValueError:
        return False
