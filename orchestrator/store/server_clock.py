"""The clock of Valkey, kept in one process: what is shared has one clock, whatever hosts say."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.errors import OrchestratorError
from orchestrator.log import get_logger
from orchestrator.store.client import Store
from orchestrator.store.server import now as server_now

#: The interval of the measurements of a process.
MEASURE_EVERY_S = 1.0
#: A measurement that took longer is not precise enough; the last one stays valid.
_PRECISE_S = 1.0
#: A larger change between two measurements is a jump of Valkey's clock.
JUMP_S = 2.0

log = get_logger("clock")


def elapsed_s() -> float:
    """Return the time that has passed, by a clock that nobody sets; a suspended host counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _wall_s() -> float:
    return datetime.now(UTC).timestamp()


@dataclass(frozen=True)
class _Measured:
    """One measurement: Valkey's time minus the elapsed time, and the wall clock's distance."""

    offset_s: float
    skew_s: float


class ServerClock:
    """Returns Valkey's present time without a round trip: leases and due dates go by it.

    A thread of the process measures it every second, against a clock that nobody sets. Until the
    first measurement the clock of this host counts.
    """

    def __init__(
        self,
        store: Store,
        *,
        elapsed: Callable[[], float] = elapsed_s,
        wall: Callable[[], float] = _wall_s,
    ) -> None:
        self._store, self._elapsed, self._wall = store, elapsed, wall
        self._measured: _Measured | None = None
        self._jumped_at_s: float | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return Valkey's present time in UTC; only the first call waits for Valkey."""
        self._keep_measuring()
        if (measured := self._measured) is None:
            return datetime.now(UTC)
        return datetime.fromtimestamp(measured.offset_s + self._elapsed(), UTC)

    @property
    def skew_s(self) -> float | None:
        """How far this host's clock is ahead of Valkey's; None if it could not be measured."""
        self._keep_measuring()
        return None if self._measured is None else self._measured.skew_s

    def measure_skew_s(self) -> float | None:
        """Measure the skew once, without a thread."""
        self.measure()
        return None if self._measured is None else self._measured.skew_s

    def is_steady_for(self, seconds: float) -> bool:
        """Measure now; return whether Valkey's clock has not jumped within this time."""
        self._keep_measuring()
        self.measure()
        return self._jumped_at_s is None or self._elapsed() - self._jumped_at_s > seconds

    def measure(self) -> None:
        """Measure Valkey's clock; if Valkey does not answer soon, the last measurement stays."""
        asked_at_s = self._elapsed()
        try:
            server = self._store.run_within(server_now(), _PRECISE_S)
        except OrchestratorError:
            return
        answered_at_s, wall_s = self._elapsed(), self._wall()
        if answered_at_s - asked_at_s > _PRECISE_S:
            return
        half_s = (answered_at_s - asked_at_s) / 2
        told_s = server.timestamp() + half_s
        measured = _Measured(told_s - answered_at_s, wall_s - told_s)
        if (last := self._measured) is not None:
            jump_s = measured.offset_s - last.offset_s
            if abs(jump_s) > JUMP_S:
                self._jumped_at_s = answered_at_s
                log.warning("the clock of Valkey jumped", seconds=round(jump_s, 3))
        self._measured = measured

    def _keep_measuring(self) -> None:
        # By process: a thread of the parent is not there after a fork.
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self.measure()
            threading.Thread(target=self._measure_always, daemon=True, name="clock").start()
            self._pid = os.getpid()

    def _measure_always(self) -> None:
        while True:
            time.sleep(MEASURE_EVERY_S)
            try:
                self.measure()
            except Exception:  # the process edge: nothing else would restart the thread
                log.exception("clock not measured")
