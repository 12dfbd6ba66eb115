"""A browser's key: taken by a form, kept in a cookie that no script can read."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.api.endpoints import Endpoint, read_body, store_of
from orchestrator.api.guard import COOKIE
from orchestrator.api.pages import LOGIN, page
from orchestrator.errors import KeyRefused

FORM = "application/x-www-form-urlencoded"


async def enter(request: Request) -> Response:
    """Take a key, and go to the dashboard; any other key forgets the one before."""
    form = parse_qs((await read_body(request)).decode(errors="replace"))
    key = form.get("key", [""])[0].strip()
    try:
        flow = request.app.state.keyring.identify(key.encode(), client="form")
        await store_of(request).follow(flow)
    except KeyRefused:
        answer = page(LOGIN, status=HTTPStatus.UNAUTHORIZED)
        answer.delete_cookie(COOKIE)
        return answer
    entered = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    if key.isascii() and key:
        secure = request.url.scheme == "https"
        entered.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure)
    return entered


ENDPOINTS = [
    Endpoint(
        *("POST", "/session", enter, "Keep a key in a cookie, for browsers"),
        answers={303: (), 401: ("text/html",)},
        scope=None,
        form=("key",),
    )
]
