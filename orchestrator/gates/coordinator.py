"""Asks the Coordinator for its decision about a change; only a clear approval approves."""

from __future__ import annotations

import time
from collections.abc import Callable

import requests
from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from orchestrator.errors import CoordinatorRefused, CoordinatorUnavailable
from orchestrator.models import Record, Stage
from orchestrator.retry import delay_before, parse_retry_after

PATH = "/api/quality/check"
TRIES = 3
#: The time limit of one try, however slowly the response arrives.
TRY_TIMEOUT_S = 30.0
_ANSWER_LIMIT_BYTES = 2**16
_TOO_MANY, _SERVER_ERROR = 429, 500


class CheckRequest(Record):
    """The request to the Coordinator (CONTRACT.md)."""

    task_id: str
    agent_id: str
    files: tuple[str, ...]
    diff_summary: str
    stage: Stage
    gates: tuple[str, ...]


class CheckAnswer(BaseModel):
    """The response of the Coordinator; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True)

    approved: StrictBool
    gate: str | None = None
    message: str | None = None


class Coordinator:
    """One Coordinator, with a persistent connection."""

    def __init__(
        self,
        url: str,
        *,
        try_timeout_s: float = TRY_TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url.rstrip("/") + PATH
        self._try_timeout_s = try_timeout_s
        self._sleep = sleep
        self._clock = clock
        self._session = requests.Session()

    def check(self, request: CheckRequest) -> CheckAnswer:
        """Ask at most three times; an approval and a rejection are both final.

        Raises:
            CoordinatorUnavailable: no connection, or status 429 or 5xx, at each try.
            CoordinatorRefused: the response is invalid.
        """
        tries = Retrying(
            stop=stop_after_attempt(TRIES),
            retry=retry_if_exception_type(CoordinatorUnavailable),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        return tries(self._try, request)

    def _try(self, request: CheckRequest) -> CheckAnswer:
        deadline = self._clock() + self._try_timeout_s
        try:
            with self._session.post(
                self._url,
                json=request.model_dump(mode="json", by_alias=True),
                timeout=self._try_timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = self._body(response, deadline)
        except requests.RequestException as error:
            msg = f"The Coordinator at {self._url} does not answer ({type(error).__name__})."
            raise CoordinatorUnavailable(msg) from error
        if response.status_code == _TOO_MANY or response.status_code >= _SERVER_ERROR:
            msg = f"The Coordinator at {self._url} answers {response.status_code}."
            away = CoordinatorUnavailable(msg)
            away.retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
            raise away
        if response.status_code != requests.codes.ok:
            msg = f"The Coordinator at {self._url} answers {response.status_code}, not 200."
            raise CoordinatorRefused(msg)
        try:
            return CheckAnswer.model_validate_json(body)
        except ValidationError as error:
            msg = f"The Coordinator at {self._url} sent a response that is no quality check."
            raise CoordinatorRefused(msg) from error

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        # Read byte by byte, so that the limit also applies to a slow body; the connection is
        # reusable after the whole body was read.
        for piece in response.iter_content(1):
            body += piece
            if len(body) > _ANSWER_LIMIT_BYTES:
                msg = f"The Coordinator at {self._url} answers more than a quality check."
                raise CoordinatorRefused(msg)
            if self._clock() > deadline:
                msg = f"The Coordinator at {self._url} did not finish its answer in time."
                raise CoordinatorUnavailable(msg)
        return bytes(body)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return delay_before(state.attempt_number, error)
