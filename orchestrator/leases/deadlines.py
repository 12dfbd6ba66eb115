"""Ends what has a deadline when it is over, by a thread that nothing else can block."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestrator.log import get_logger
from orchestrator.store.server_clock import elapsed_s

#: The longest pause between two checks: a host that was suspended is noticed after this.
_MOST_PAUSE_S = 1.0
_LEAST_PAUSE_S = 0.01

log = get_logger("lease")


class Expiring(Protocol):
    """Something with a deadline that moves."""

    def usable_s(self) -> float:
        """Return how long it has; never blocks."""

    def expire(self) -> bool:
        """End it, unless its deadline has moved meanwhile; returns whether it has ended."""


class DeadlineThread:
    """Watches all that one process holds; its one thread runs while there is something."""

    def __init__(self, elapsed: Callable[[], float] = elapsed_s) -> None:
        #: The clock by which the deadlines are measured.
        self.elapsed = elapsed
        #: What is watched, and whether it is being ended.
        self._watched: dict[Expiring, bool] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, one: Expiring) -> Iterator[None]:
        """Expire it meanwhile when its deadline is over."""
        with self._changed:
            self._watched[one] = False
            # Started here: a thread of the parent process is not there after a fork.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, daemon=True, name="deadlines")
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._watched[one]
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._watched:
                    self._thread = None
                    return
                left = {
                    one: one.usable_s() for one, is_over in self._watched.items() if not is_over
                }
                over = [one for one, left_s in left.items() if left_s <= 0]
                self._watched.update(dict.fromkeys(over, True))
                if not over:
                    pause_s = min(left.values(), default=_MOST_PAUSE_S)
                    self._changed.wait(min(max(pause_s, _LEAST_PAUSE_S), _MOST_PAUSE_S))
            for one in over:
                self._start_expiring(one)

    def _start_expiring(self, one: Expiring) -> None:
        """End one without waiting for it: the deadlines of the others come meanwhile."""
        try:
            threading.Thread(target=self._expire, args=(one,), daemon=True).start()
        except RuntimeError as error:
            # The host has no room for another thread.
            log.warning("ended in the thread of deadlines", reason=str(error))
            self._expire(one)

    def _expire(self, one: Expiring) -> None:
        try:
            has_ended = one.expire()
        except Exception:  # the edge of this thread: it is tried again
            log.exception("not ended at its deadline")
            time.sleep(_MOST_PAUSE_S)
            has_ended = False
        with self._changed:
            if not has_ended and one in self._watched:
                self._watched[one] = False
                self._changed.notify()
