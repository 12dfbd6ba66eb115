"""Joins equal reads of one event loop: all who ask before a read is sent get its one reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from orchestrator.store.batches import WAIT_S

T = TypeVar("T")


class SharedReads:
    """Sends one read at a time of each kind, if replies come fast.

    A caller never gets the reply to a read that was sent before it asked, so that it sees every
    change that was complete by then, such as the revocation of a key.
    """

    def __init__(self) -> None:
        #: Kind → the read that is under way.
        self._sent: dict[Hashable, asyncio.Future[None]] = {}
        #: Kind → the read that follows it, for all who asked meanwhile.
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, kind: Hashable, send: Callable[[], Awaitable[T]]) -> T:
        """Return the reply of `send`, or of an equal read that is not sent yet; raises as it does.

        A caller that is cancelled does not take the reply from the others.
        """
        if (sent := self._sent.get(kind)) is None:
            return await self._send(kind, send)
        if (following := self._next.get(kind)) is None:
            following = asyncio.create_task(self._follow(kind, sent, send))
            # An error that no caller waits for any more is nobody's.
            following.add_done_callback(lambda read: read.cancelled() or read.exception())
            self._next[kind] = following
        reply: T = await asyncio.shield(following)
        return reply

    async def _follow(
        self, kind: Hashable, sent: asyncio.Future[None], send: Callable[[], Awaitable[T]]
    ) -> T:
        await asyncio.wait((sent,), timeout=WAIT_S)
        # No await until it is sent: whoever asks from here on must get a later read.
        del self._next[kind]
        return await self._send(kind, send)

    async def _send(self, kind: Hashable, send: Callable[[], Awaitable[T]]) -> T:
        sent = asyncio.get_running_loop().create_future()
        self._sent[kind] = sent
        try:
            return await send()
        finally:
            if self._sent.get(kind) is sent:
                del self._sent[kind]
            sent.set_result(None)
