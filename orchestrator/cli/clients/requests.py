"""Requests to the HTTP API: their time limits, and its answers as documents or as errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import httpx

from orchestrator.cli.deadline import given_limit_s, waiting_for_api
from orchestrator.errors import (
    ApiRefused,
    ApiUnreachable,
    ChangeMissing,
    ChangeRefused,
    ChangeTooLarge,
    NotFound,
    OrchestratorError,
    RequestInvalid,
)
from orchestrator.settings import LOOPBACK, Settings

_CONNECT_S = 5.0
#: Longer than the server waits for Valkey, and than the silence of an event stream.
_READ_S = 30.0
#: A kill answers after its own time limit, so this is added to it.
_MARGIN_S = 10.0
#: The server may have to fetch the base commit of a change: two git commands at their limit.
_GIT_S = 600.0
_PROXIES = "Correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or name the API's host in NO_PROXY."
_ERROR = "urn:orchestrator:error:"
#: Code → the error that commands handle; another one is ApiRefused with this code.
_KINDS: dict[str, type[OrchestratorError]] = {
    kind.code: kind for kind in (NotFound, ChangeMissing, ChangeRefused, ChangeTooLarge)
}


@dataclass(frozen=True)
class ApiRequests:
    """Sends requests with the key of the settings."""

    http: httpx.Client
    #: What `--timeout` says; without it, each request has a limit of its own.
    limit_s: float | None = None

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[ApiRequests]:
        """Open connections to the API that the settings name."""
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        limit_s = given_limit_s()
        timeout = _timeout(limit_s or _READ_S)
        headers = {"X-API-Key": key} if key else {}
        url = httpx.URL(settings.api_url or "")
        # A client with its own transport reads no proxy from the environment.
        transport = None if _is_proxied(url) else httpx.HTTPTransport()
        try:
            # The key goes to this address only: a redirect elsewhere is an error.
            http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            msg = f"The environment names a proxy that cannot be used: {error}."
            raise ApiUnreachable(msg, action=_PROXIES) from error
        with http:
            yield cls(http, limit_s)

    def get(self, path: str, **query: Any) -> Any:
        """Return the document at a path."""
        return self.sent("GET", path, params=query)

    def post(self, path: str, **body: Any) -> Any:
        """Send a document; return the answer. Its `timeout` is how long the server may wait."""
        own_s = body["timeout"] + _MARGIN_S if "timeout" in body else _READ_S
        limit_s = self.limit_s or own_s
        return self.sent("POST", path, json=body, timeout=_timeout(limit_s))

    def sent(self, method: str, path: str, **options: Any) -> Any:
        """Send a request; return the document of the answer.

        Raises:
            ApiUnreachable: the API does not answer, or another program answers.
            RequestInvalid, NotFound, ApiRefused: the API refuses the request.
        """
        try:
            with waiting_for_api(str(self.http.base_url)):
                answer = self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        _check(answer)
        try:
            return answer.json()
        except ValueError as error:
            raise self._unreachable(error) from error

    def parts(self, path: str, **query: Any) -> Iterator[bytes]:
        """Yield the bytes at a path as they arrive; the errors are those of `sent`.

        An answer that ends before its announced length is an error.
        """
        timeout = _timeout(self.limit_s or _GIT_S)
        with self.opened(path, {}, params=query, timeout=timeout) as answer:
            yield from answer.iter_bytes()

    @contextmanager
    def opened(
        self, path: str, headers: Mapping[str, str], **options: Any
    ) -> Iterator[httpx.Response]:
        """Open a stream, which may be silent for a time; the errors are those of `sent`."""
        options.setdefault("timeout", _timeout(_READ_S))
        try:
            with self.http.stream("GET", path, headers=headers, **options) as answer:
                if answer.status_code != HTTPStatus.OK:
                    answer.read()
                _check(answer)
                yield answer
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ApiUnreachable:
        url = self.http.base_url
        if not _is_proxied(url):
            return ApiUnreachable(f"The API at {url} does not answer ({error}).")
        msg = f"The API at {url} does not answer through the proxy of the environment ({error})."
        return ApiUnreachable(msg, action=f"{_PROXIES} {ApiUnreachable.action}")


def _timeout(limit_s: float) -> httpx.Timeout:
    return httpx.Timeout(limit_s, connect=min(limit_s, _CONNECT_S))


def _is_proxied(url: httpx.URL) -> bool:
    # No proxy is asked for an API on this machine.
    proxies = getproxies()
    is_named = url.scheme in proxies or "all" in proxies
    return is_named and url.host not in LOOPBACK and not proxy_bypass(url.host)


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        problem = answer.json()
        detail, code = str(problem["detail"]), str(problem["type"]).removeprefix(_ERROR)
        faults = tuple((one["path"], one["message"]) for one in problem.get("errors", ()))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"The API at {answer.url.host} answered {answer.status_code}, which is none of its."
        raise ApiUnreachable(msg) from error
    if faults:
        raise RequestInvalid(faults)
    if kind := _KINDS.get(code):
        # The text of the server ends with its own advice, which need not be that of this class.
        raise kind(detail, action=" ")
    if answer.status_code == HTTPStatus.NOT_FOUND:
        detail = f"The API has no such address as {answer.url.path}; its version may be older."
    raise ApiRefused(detail, remote_code="" if code == "about:blank" else code)


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    # A name is part of a path; whatever else is typed must not name another route.
    return quote(name, safe="")
