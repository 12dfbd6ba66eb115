"""Says when an agent that gave its result has had its time to end by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.agent_output.reader import OutputReader

#: Whatever starts the grace anew, it is over after so many of them.
MOST_GRACES = 15


@dataclass
class ResultGrace:
    """One agent's: a client may write its session down, or hang for ever.

    The grace is a time of silence. Output of any kind starts it anew, since a client may wait for a
    background task and speak again; so does work that it reports to be under way, and a request to
    its model. All of it together is limited, and counts from the latest result that was not chatter
    or the latest use of a tool: a turn that works is a turn of its own.
    """

    transcript: OutputReader
    grace_s: float
    #: Whether a request to its model is under way.
    is_asking: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    _seen_bytes: int = -1
    _seen_work: tuple[int, int] = (-1, -1)
    _quiet_since_s: float = 0.0
    _done_since_s: float = 0.0

    def is_over(self) -> bool:
        """Return whether it is; call often, since it sees only what has changed since before."""
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
