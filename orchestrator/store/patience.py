"""How long the work of this thread waits for a Valkey that does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from orchestrator.errors import StoreUnreachable


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


_CURRENT: ContextVar[Patience | None] = ContextVar("patience", default=None)


def current_patience() -> Patience | None:
    """Return the patience of this thread of work, if it has one."""
    return _CURRENT.get()


@contextmanager
def waiting_with(patience: Patience | None) -> Iterator[None]:
    """Let every operation that this thread runs meanwhile wait with this patience."""
    token = _CURRENT.set(patience)
    try:
        yield
    finally:
        _CURRENT.reset(token)
