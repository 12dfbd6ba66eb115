"""The heartbeat from a worker to the supervisors of its running programs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_BEATS_IN_DEADLINE = 5


class Heartbeat:
    """One thread for all programs; a worker that is stopped or stalled sends no heartbeat."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._beats: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def calling(self, heartbeat: Callable[[], None]) -> Iterator[None]:
        """Call `beat`, which must not block, several times per deadline in the context."""
        with self._lock:
            self._beats[id(heartbeat)] = heartbeat
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._beats[id(heartbeat)]

    def _run(self) -> None:
        while True:
            with self._lock:
                for heartbeat in self._beats.values():
                    heartbeat()
            time.sleep(self.deadline_s / _BEATS_IN_DEADLINE)
