"""How long the work of this thread waits for a Valkey that does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from orchestrator.errors import StoreRefused, StoreUnreachable


class Patience(Protocol):
    """Decides for how long one operation is tried again; the store asks it around each try."""

    def left_s(self, blocks_s: float) -> float | None:
        """Return how long the next try may take; None leaves it to the store's own limits.

        The server itself may hold the answer back for `blocks_s`.
        """

    def pause(self, error: StoreUnreachable) -> None:
        """Return when the operation is to be tried again; raise to give it up."""

    def record_answer(self) -> None:
        """Hear that Valkey answered."""


#: Returns when a write is to be tried again that Valkey refuses for a while; raises to give it up.
WaitForSpace = Callable[[StoreRefused], None]

_CURRENT: ContextVar[Patience | None] = ContextVar("patience", default=None)
_FOR_SPACE: ContextVar[WaitForSpace | None] = ContextVar("space", default=None)


def current_patience() -> Patience | None:
    """Return the patience of this thread of work, if it has one."""
    return _CURRENT.get()


def current_wait_for_space() -> WaitForSpace | None:
    """Return what this thread does when Valkey refuses a write for a while; None: it gives up."""
    return _FOR_SPACE.get()


@contextmanager
def waiting_with(
    patience: Patience | None, for_space: WaitForSpace | None = None
) -> Iterator[None]:
    """Let every operation that this thread runs meanwhile wait with this patience.

    `for_space` is called where Valkey answers, and refuses a write until it has space again.
    """
    token, of_space = _CURRENT.set(patience), _FOR_SPACE.set(for_space)
    try:
        yield
    finally:
        _FOR_SPACE.reset(of_space)
        _CURRENT.reset(token)


@contextmanager
def not_waiting_for_space() -> Iterator[None]:
    """Let a write that can be left out be refused at once where Valkey has no space."""
    token = _FOR_SPACE.set(None)
    try:
        yield
    finally:
        _FOR_SPACE.reset(token)
