"""Streams of server-sent events: how they are asked for, and how many may be open at once."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.api.http.endpoint import Header, caller_of
from orchestrator.errors import RateLimited

EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = {
    "Last-Event-ID": Header(
        "The id of the last event seen: what followed it comes first.",
        r"^[0-9]{1,19}-[0-9]{1,19}$",
    )
}
#: However many files may be open: each stream takes memory too.
_MOST = 2000
_AGAIN_AFTER_S = 10


class Followers:
    """The open streams of this process.

    All of them take at most half of its descriptors, for that of a log needs one to Valkey as well;
    those of one caller a quarter of that. So there is room for whatever else is asked.
    """

    def __init__(self) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(_MOST, descriptors // 4)
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """Count one stream of a caller meanwhile.

        Raises:
            RateLimited: it has as many as one may have, or there are no more in all.
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
            self._open += Counter()  # forgets who has none


class EventStream(StreamingResponse):
    """An answer of server-sent events, counted while it lasts."""

    media_type = EVENT_STREAM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them; raises as `Followers.one` does, before anything is sent."""
        request = Request(scope)
        followers: Followers = request.app.state.followers
        with followers.one(caller_of(request).name):
            await super().__call__(scope, receive, send)
