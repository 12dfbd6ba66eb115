"""Server-sent events: the resume header, the limit of open streams, and the end of their keys."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.api.http.auth import identify
from orchestrator.api.http.endpoint import Header, caller_of
from orchestrator.errors import OrchestratorError, RateLimited
from orchestrator.log import get_logger

EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = {
    "Last-Event-ID": Header(
        "The id of the last received event; the stream continues after it.",
        r"^[0-9]{1,19}-[0-9]{1,19}$",
        is_checked_by_route=True,
    )
}
#: An upper limit whatever the file limit is: each stream also uses memory.
_MOST = 2000
_AGAIN_AFTER_S = 10
#: A stream that is open checks its key again after this time, with its next frame.
CHECKED_EVERY_S = 15.0

log = get_logger("api")


class Followers:
    """The open streams of this process.

    All streams use at most half of the file descriptors, because a stream of a log also needs a
    connection to Valkey. One caller may open a quarter of the streams. Other requests therefore
    always find free descriptors.
    """

    def __init__(self) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(_MOST, descriptors // 4)
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """Count one stream of a caller while the context is open.

        Raises:
            RateLimited: the caller or the process has reached its limit of streams.
        """
        if self._open[caller] >= self._most // 4:
            msg = f"{caller} follows {self._open[caller]} streams already."
            raise RateLimited(msg, retry_after_s=_AGAIN_AFTER_S)
        if self._open.total() >= self._most:
            msg = f"This server has {self._most} streams open already."
            raise RateLimited(msg, retry_after_s=_AGAIN_AFTER_S)
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            self._open += Counter()  # removes callers without streams


class EventStream(StreamingResponse):
    """A response of server-sent events, counted while it is open."""

    media_type = EVENT_STREAM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; raises as `Followers.one` does, before anything is sent."""
        request = Request(scope)
        if request.method == "HEAD":
            # Nobody reads its events, so it would be open for ever.
            await Response(headers=dict(self.headers))(scope, receive, send)
            return
        followers: Followers = request.app.state.followers
        self.body_iterator = _while_valid(self.body_iterator, request)
        with followers.one(caller_of(request).name):
            await super().__call__(scope, receive, send)


async def _while_valid(frames: AsyncIterable[Any], request: Request) -> AsyncIterator[Any]:
    """Yield frames until the key of the request has expired or is revoked."""
    checked_s = time.monotonic()
    async for frame in frames:
        if time.monotonic() - checked_s >= CHECKED_EVERY_S:
            try:
                await identify(request)
            except OrchestratorError as error:
                log.warning("follower dropped", reason=str(error))
                return  # it connects again, and gets the refusal
            checked_s = time.monotonic()
        yield frame
