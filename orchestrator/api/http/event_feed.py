"""The live feed of lifecycle events: one stream reader per process, any number of followers.

The reader keeps the newest events in memory. A follower reads from this memory at its own pace, or
from the stream if it is further behind. A slow follower therefore delays no other and loses no
event.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from orchestrator.errors import OrchestratorError
from orchestrator.log import get_logger
from orchestrator.store import events as event_stream
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.events import StoredEvent

#: How long the reader blocks in Valkey at a time; it bounds the delay of a shutdown.
BLOCK_MS = 1000
#: Events in memory; a follower that is further behind reads the stream.
KEPT = 5000
#: Proxies and browsers close a connection without traffic.
HEARTBEAT_S = 15.0
_AGAIN_AFTER_S = 1.0
_BATCH = 500

log = get_logger("api")

Position = tuple[int, int]


class Feed:
    """Reads the event stream once for all followers of this process."""

    def __init__(self, store: AsyncStore, *, is_stopping: Callable[[], bool]) -> None:
        self._store = store
        self._is_stopping = is_stopping
        #: `_frames` holds all events after this position; None before the first read.
        self._begin: Position | None = None
        self._places: list[Position] = []
        self._frames: list[str] = []
        self._news = asyncio.Event()
        self._is_closed = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read the stream while the context is open."""
        reader = asyncio.create_task(self._read())
        try:
            yield
        finally:
            # Both: a read that has just completed can swallow its cancellation.
            self._is_closed = True
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self) -> None:
        after = ""
        while not self._is_closed:
            try:
                if not after:
                    after = await self._store.run(event_stream.last_event_id())
                    self._begin = position_of(after)
                    self._notify()  # followers that checked before this check again
                events = await self._store.run(
                    event_stream.await_stored(after=after, block_ms=BLOCK_MS, count=_BATCH)
                )
            except OrchestratorError as error:
                # The loop retries while Valkey is unreachable.
                log.warning("events cannot be read", reason=str(error))
                await asyncio.sleep(_AGAIN_AFTER_S)
                events = []
            if events:
                after = events[-1].id
                self._keep(events)
            if events or self._is_stopping():
                self._notify()

    async def begin(self, after: str) -> tuple[str, str]:
        """Return the position where a follower continues, and its first frame.

        `after` is the id of the last event that it received, or empty. If the events after that id
        are no longer in the stream, the frame is a `reset`: the client reads the state again, and
        the follower continues from now.

        Raises:
            StoreUnreachable: Valkey does not answer.
        """
        now = await self._store.run(event_stream.last_event_id())
        if not after:
            # Only the id: a connection lost before the first event resumes from here.
            return now, f"retry: 2000\nid: {now}\n\n"
        if position_of(after) == (0, 0) or await self._store.run(event_stream.has_event(after)):
            return after, ": resuming\n\n"
        first = await self._store.run(event_stream.first_event_id())
        if first and position_of(after) <= position_of(now):
            is_known = position_of(first) < position_of(after)
            # An instant before the first event of a young system: nothing was removed.
            if is_known or await self._store.run(event_stream.is_whole()):
                return after, ": resuming\n\n"
        return now, f'id: {now}\nevent: reset\ndata: {{"lastEventId": "{now}"}}\n\n'

    async def follow(self, after: str) -> AsyncIterator[str]:
        """Yield each event after an id as it arrives; after HEARTBEAT_S without one, a comment."""
        place = position_of(after)
        while not self._is_stopping():
            news = self._news  # before looking, or an event in between would go unheard
            try:
                place, frames = await self._behind(place)
            except OrchestratorError as error:
                log.warning("follower dropped", reason=str(error))
                return  # it comes again, with its last id
            if frames:
                yield frames
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                yield ": nothing new\n\n"

    async def _behind(self, place: Position) -> tuple[Position, str]:
        begin = self._begin  # as it is now: what comes during the read below is not in it
        if begin is not None and place >= begin:
            start = bisect_right(self._places, place)
            end = start + _BATCH
            frames = self._frames[start:end]
            return (self._places[start:end] or [place])[-1], "".join(frames)
        last = "-".join(map(str, place))
        events = await self._store.run(event_stream.read_stored(after=last, count=_BATCH))
        if not events:
            # No event lies between it and the events in memory.
            return (begin or place), ""
        return position_of(events[-1].id), "".join(map(_frame, events))

    def _notify(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _keep(self, events: Sequence[StoredEvent]) -> None:
        self._places += [position_of(event.id) for event in events]
        self._frames += map(_frame, events)
        if len(self._places) > 2 * KEPT:
            surplus = len(self._places) - KEPT
            self._begin = self._places[surplus - 1]
            del self._places[:surplus], self._frames[:surplus]


def position_of(event_id: str) -> Position:
    """Return the position of an event in the stream: ids compare by their two numbers."""
    instant_ms, _, number = event_id.partition("-")
    return int(instant_ms), int(number or 0)


def _frame(event: StoredEvent) -> str:
    # In JSON a bare line break occurs only between values; in a frame it would end the data.
    document = event.document.replace("\r", " ").replace("\n", " ")
    return f"id: {event.id}\nevent: lifecycle\ndata: {document}\n\n"
