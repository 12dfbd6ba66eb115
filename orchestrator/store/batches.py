"""Sends commands together that were asked for while earlier ones awaited their replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.store.operations import Argument

#: The longest time for which commands wait for the replies to others, such as of a Valkey that
#: hangs.
WAIT_S = 0.05
#: The most commands of one batch, whose replies are read together.
MOST = 64

Command = tuple[Argument, ...]


@dataclass
class _Batch:
    commands: list[Command] = field(default_factory=list)
    replies: asyncio.Task[Sequence[Any]] | None = None


class Batches:
    """Sends a lone command at once, and those that are asked for meanwhile as the next batch."""

    def __init__(self, send: Callable[[Sequence[Command]], Awaitable[Sequence[Any]]]) -> None:
        """`send` returns the reply to each command, an error of Valkey included, or raises."""
        self._send = send
        #: The end of the batch that is under way.
        self._sent: asyncio.Future[None] | None = None
        self._next: _Batch | None = None

    async def run(self, command: Command) -> Any:
        """Return the reply to a command; raises as `send` does.

        A caller that is cancelled takes the reply from no other one.
        """
        if self._sent is None:
            return (await self._run([command]))[0]
        batch = self._next
        if batch is None or batch.replies is None or len(batch.commands) >= MOST:
            batch = self._next = _Batch()
            batch.replies = asyncio.create_task(self._follow(batch, self._sent))
            # An error that no caller waits for any more is nobody's.
            batch.replies.add_done_callback(lambda task: task.cancelled() or task.exception())
        place = len(batch.commands)
        batch.commands.append(command)
        return (await asyncio.shield(batch.replies))[place]

    async def _follow(self, batch: _Batch, sent: asyncio.Future[None]) -> Sequence[Any]:
        await asyncio.wait((sent,), timeout=WAIT_S)
        if self._next is batch:
            self._next = None
        return await self._run(batch.commands)

    async def _run(self, commands: Sequence[Command]) -> Sequence[Any]:
        self._sent = sent = asyncio.get_running_loop().create_future()
        try:
            return await self._send(commands)
        finally:
            if self._sent is sent:
                self._sent = None
            sent.set_result(None)
