"""The grace period in which an agent may end by itself after its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.agent_output.reader import OutputReader

#: All restarts included, the grace ends after so many periods.
MOST_GRACES = 15


@dataclass
class ResultGrace:
    """Decides when an agent that has given its result must be ended.

    After its result a client may write its session, wait for a background task, or hang. The grace
    is a period of `grace_s` seconds without output. Output, open work and a request to the model
    restart it. `MOST_GRACES` periods limit the total, which counts from the latest result that
    counted or the latest use of a tool, because a turn that uses tools is a new turn.
    """

    transcript: OutputReader
    grace_s: float
    #: Returns whether a request to the model is in progress.
    is_asking: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    _seen_bytes: int = -1
    _seen_work: tuple[int, int] = (-1, -1)
    _quiet_since_s: float = 0.0
    _done_since_s: float = 0.0

    def is_over(self) -> bool:
        """Return whether the grace has ended; call it often, because it compares two calls."""
        transcript = self.transcript
        if transcript.result is None:
            return False
        now_s = self.clock()
        work = (transcript.results, transcript.tools_used)
        if work != self._seen_work:
            self._seen_work, self._done_since_s = work, now_s
        is_moving = transcript.output_bytes != self._seen_bytes
        if is_moving or transcript.has_open_work or self.is_asking():
            self._seen_bytes, self._quiet_since_s = transcript.output_bytes, now_s
        return (
            now_s - self._quiet_since_s >= self.grace_s
            or now_s - self._done_since_s >= self.grace_s * MOST_GRACES
        )
