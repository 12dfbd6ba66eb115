"""The records of the queues: the number of messages in each, and who paused it."""

from __future__ import annotations

from orchestrator.models.record import Instant, Record


class Pause(Record):
    """The pause of a queue: who, when, and the reason."""

    by: str
    why: str
    at: Instant


class QueueState(Record):
    """The numbers of one queue."""

    name: str
    #: Messages that wait for a worker or for a slot.
    pending: int
    #: Agents that a worker of this queue holds.
    active: int
    #: Messages that were processed, and those of them whose agent failed.
    completed: int
    failed: int
    #: Agents whose message is sent at a later time.
    delayed: int
    is_paused: bool
    pause: Pause | None = None
    #: The waiting time of the longest waiting agent of this queue, in seconds.
    oldest_age_s: float | None = None
