"""Everything one attempt runs in this process, so that another thread can end it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar


class CancelScope:
    """The programs of one attempt; after `end` whatever still joins is ended as it starts."""

    def __init__(self, marks: Mapping[str, str] | None = None) -> None:
        #: What stands in the environment of every program of it, so that others can find those.
        self.marks = dict(marks or {})
        self._lock = threading.RLock()
        self._enders: dict[int, Callable[[], None]] = {}
        self._is_ended = False
        self._ended_pids: set[int] = set()
        self._ended_at_s: float | None = None
        self._has_proof = True

    @property
    def ended_pids(self) -> tuple[int, ...]:
        """The processes that were killed, in the order of their pids."""
        return tuple(sorted(self._ended_pids))

    @property
    def ended_at_s(self) -> float | None:
        """When the last process of the last tree died, by `time.monotonic`."""
        return self._ended_at_s

    @property
    def has_proof(self) -> bool:
        """Whether every tree was seen to its end by its own supervisor."""
        return self._has_proof

    @property
    def is_ended(self) -> bool:
        """Whether all of it was told to end."""
        return self._is_ended

    def record(self, pids: tuple[int, ...], *, ended_at_s: float | None, is_proven: bool) -> None:
        """Take note of what died of a tree, and when."""
        with self._lock:
            self._ended_pids.update(pids)
            if ended_at_s is not None:
                self._ended_at_s = max(ended_at_s, self._ended_at_s or ended_at_s)
            self._has_proof &= is_proven

    def end(self) -> None:
        """End all of it now; from any thread, and again without effect. Waits for none of it."""
        with self._lock:
            self._is_ended = True
            for ender in self._enders.values():
                ender()

    @contextmanager
    def _admit(self, ender: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._enders[id(ender)] = ender
            if self._is_ended:
                ender()
        try:
            yield
        finally:
            with self._lock:
                del self._enders[id(ender)]


_CURRENT: ContextVar[CancelScope | None] = ContextVar("custody", default=None)


def current() -> CancelScope | None:
    """Return the custody that this thread of work is in."""
    return _CURRENT.get()


@contextmanager
def working_in(cancel_scope: CancelScope | None) -> Iterator[None]:
    """Put what this thread starts meanwhile in a custody, or with None in nobody's."""
    token = _CURRENT.set(cancel_scope)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@contextmanager
def ended_by(ender: Callable[[], None]) -> Iterator[None]:
    """Let the custody this thread works in, if any, end a program by calling `ender`."""
    cancel_scope = current()
    if cancel_scope is None:
        yield
        return
    with cancel_scope._admit(ender):  # noqa: SLF001 - the one door to it, in this file
        yield
