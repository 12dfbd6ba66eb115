"""The cancel scope: lets any thread end all programs of one attempt at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

from orchestrator.log import get_logger

log = get_logger("cancel_scope")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class CancelScope:
    """The programs of one attempt; a program that starts after `end` is ended at once."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        #: The process labels: environment variables by which the host cleaner finds programs.
        self.labels = dict(labels or {})
        self._lock = threading.RLock()
        self._enders: dict[int, Callable[[], None]] = {}
        self._is_ended = False
        self._ended_pids: set[int] = set()
        self._ended_at_s: float | None = None
        self._has_proof = True

    @property
    def ended_pids(self) -> tuple[int, ...]:
        """The pids of the processes that were killed, sorted."""
        return tuple(sorted(self._ended_pids))

    @property
    def ended_at_s(self) -> float | None:
        """The end of the last process of the last tree, by `time.monotonic`."""
        return self._ended_at_s

    @property
    def has_proof(self) -> bool:
        """Whether the supervisor of every tree has confirmed its end."""
        return self._has_proof

    @property
    def is_ended(self) -> bool:
        """Whether `end` was called."""
        return self._is_ended

    def record(self, pids: tuple[int, ...], *, ended_at_s: float | None, is_proven: bool) -> None:
        """Record the ended processes of one tree, and the time (`time.monotonic`) of its end."""
        with self._lock:
            self._ended_pids.update(pids)
            if ended_at_s is not None:
                self._ended_at_s = max(ended_at_s, self._ended_at_s or ended_at_s)
            self._has_proof &= is_proven

    def end(self) -> None:
        """Start the end of all programs without waiting; thread-safe and safe to repeat."""
        with self._lock:
            self._is_ended = True
            for ender in self._enders.values():
                try:
                    ender()
                except Exception:  # any error: the other programs of this and other agents must end
                    # Its program is not seen to end, so that nothing confirms the kill.
                    log.exception("end not ordered", labels=self.labels)

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


_CURRENT: ContextVar[CancelScope | None] = ContextVar("cancel_scope", default=None)


def current() -> CancelScope | None:
    """Return the cancel scope of the present context, or None."""
    return _CURRENT.get()


@contextmanager
def working_in(cancel_scope: CancelScope | None) -> Iterator[None]:
    """Put the programs that this thread starts in a cancel scope; with None in no scope."""
    token = _CURRENT.set(cancel_scope)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def side_by_side(
    function: Callable[[_Item], _Result], items: Sequence[_Item]
) -> tuple[_Result, ...]:
    """Call a function for each item in a thread of its own, and return the results in order.

    Each thread works in the present cancel scope, so that a kill ends the programs of all.
    """
    if not items:
        return ()
    contexts = [copy_context() for _ in items]
    with ThreadPoolExecutor(max_workers=len(items)) as pool:
        return tuple(pool.map(lambda context, item: context.run(function, item), contexts, items))


@contextmanager
def ended_by(ender: Callable[[], None]) -> Iterator[None]:
    """Register `ender` in the present cancel scope, if any, which calls it to end a program."""
    cancel_scope = current()
    if cancel_scope is None:
        yield
        return
    with cancel_scope._admit(ender):  # noqa: SLF001 - the only call, in the same file
        yield
