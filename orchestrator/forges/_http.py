"""Calls the API of a forge: it sends the token to one address only, and limits the responses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from pydantic import StringConstraints, TypeAdapter, ValidationError
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from orchestrator.errors import ForgeRefused, ForgeUnavailable, SettingsInvalid
from orchestrator.retry import delay_before, parse_retry_after
from orchestrator.settings import Settings

T = TypeVar("T")

#: A link that the state and the pages may contain: no other scheme, no character to escape.
Link = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=2000)]

TRIES = 3
_PIECE_BYTES = 2**16
_ANSWER_LIMIT_BYTES = 2**23
_SHOWN_CHARACTERS = 300
_FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 403, 429, 500
# Plain HTTP is allowed to this machine only; elsewhere it would expose the token.
_SAFE = re.compile(
    r"(https://([a-z0-9._-]+|\[[0-9a-f:]+\])|http://(127\.0\.0\.1|localhost|\[::1\]))(:\d+)?(/[!-~]*)?"
)


@dataclass(frozen=True)
class Timing:
    """The time limit of one try (s), and the clock."""

    try_timeout_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


REAL_TIME = Timing()


class Http:
    """Calls to forges over persistent connections."""

    def __init__(self, settings: Settings, timing: Timing) -> None:
        self._url = settings.forge_url
        if self._url and not _SAFE.fullmatch(self._url):
            msg = "ORCHESTRATOR_FORGE_URL: must be an https:// address (http:// on loopback only)."
            raise SettingsInvalid(msg)
        self._timing = timing
        self._session = requests.Session()

    def base(self, derived: str) -> str:
        """Return the address of the API: the configured one, else the derived one."""
        return (self._url or derived).rstrip("/")

    def get(self, url: str, token: str, answer: type[T], query: Mapping[str, str | int]) -> T:
        """Get a resource, and parse it as this type; raises the errors of `Forge.open_request`."""
        return self._call(partial(self._session.get, url, params=query), url, token, answer)

    def post(self, url: str, token: str, answer: type[T], body: Mapping[str, str]) -> T:
        """Create a resource, and parse the response; raises the errors of `Forge.open_request`.

        A try whose response is lost may have created it, so that the next try is refused.
        """
        return self._call(partial(self._session.post, url, json=body), url, token, answer)

    def _call(
        self, send: Callable[..., requests.Response], url: str, token: str, answer: type[T]
    ) -> T:
        if not _SAFE.fullmatch(url):
            msg = f"The forge at {_host(url)} is not asked: only https:// keeps a token secret."
            raise ForgeRefused(msg)
        if not re.fullmatch(r"[!-~]+", token):
            msg = f"There is no usable token for the forge at {_host(url)}."
            raise ForgeRefused(msg, action="Set GIT_TOKEN and GIT_TOKEN_HOSTS, or a command.")
        tries = Retrying(
            stop=stop_after_attempt(TRIES),
            retry=retry_if_exception_type(ForgeUnavailable),
            wait=_wait,
            sleep=self._timing.sleep,
            reraise=True,
        )
        said = tries(self._try, send, url, token)
        try:
            return TypeAdapter(answer).validate_json(said)
        except ValidationError as error:
            forge = f"The forge at {_host(url)}"
            msg = f"{forge} sent a response that its API does not define: {_shown(said)}"
            raise ForgeRefused(msg) from error

    def _try(self, send: Callable[..., requests.Response], url: str, token: str) -> bytes:
        deadline = self._timing.clock() + self._timing.try_timeout_s
        try:
            with send(
                # Not a header, because the entry of a .netrc for the host would replace it.
                auth=_Bearer(token),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                # Unencrypted requests use no proxy of the environment.
                proxies={"http": ""},
                timeout=self._timing.try_timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                said = self._read(response, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            msg = f"The forge at {_host(url)} does not answer ({type(error).__name__})."
            raise ForgeUnavailable(msg) from error
        # The error page of a proxy may repeat the request.
        said = said.replace(token.encode(), b"[token]")
        if response.status_code in (requests.codes.ok, requests.codes.created):
            return said
        msg = f"The forge at {_host(url)} answers {response.status_code}: {_shown(said)}"
        retry_after = response.headers.get("Retry-After")
        # GitHub reports its limits on bursts as a 403 with the time of the next try.
        asked_to_wait = response.status_code == _FORBIDDEN and retry_after is not None
        if (
            asked_to_wait
            or response.status_code == _TOO_MANY
            or response.status_code >= _SERVER_ERROR
        ):
            away = ForgeUnavailable(msg)
            away.retry_after_s = parse_retry_after(retry_after)
            raise away
        raise ForgeRefused(msg)

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        # Each piece is the bytes that have arrived, so that the limit also applies to a slow body;
        # the connection is reusable after the whole body was read.
        while piece := response.raw.read1(_PIECE_BYTES):
            body += piece
            if len(body) > _ANSWER_LIMIT_BYTES:
                msg = f"The forge at {_host(response.url)} answers more than its API does."
                raise ForgeRefused(msg)
            if self._timing.clock() > deadline:
                msg = f"The forge at {_host(response.url)} did not finish its answer in time."
                raise ForgeUnavailable(msg)
        return bytes(body)


def create_or_find(create: Callable[[], str], find: Callable[[], str | None]) -> str:
    """Return the URL of the new request or, if that is refused, of the open one.

    Forges refuse a second request for the same branches, so the creation is tried first.
    """
    try:
        return create()
    except ForgeRefused:
        if url := find():
            return url
        raise


@dataclass(frozen=True, repr=False)
class _Bearer(AuthBase):
    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return delay_before(state.attempt_number, error)


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _shown(said: bytes) -> str:
    text = said.decode(errors="replace")
    return "".join(sign if sign.isprintable() else " " for sign in text)[:_SHOWN_CHARACTERS]
