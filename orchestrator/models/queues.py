"""The records of the queues: how much stands in each, and who has paused it."""

from __future__ import annotations

from orchestrator.models.record import Instant, Record


class Pause(Record):
    """Why nothing is taken from a queue."""

    by: str
    why: str
    at: Instant


class QueueState(Record):
    """One queue at a glance."""

    name: str
    #: Messages that wait, for a worker or for one of the fleet's places.
    pending: int
    #: Agents that a worker of this queue holds.
    active: int
    #: Messages that were worked off, and those after which their agent had failed.
    completed: int
    failed: int
    #: Agents that wait for an instant before their message is sent.
    delayed: int
    is_paused: bool
    pause: Pause | None = None
    #: How long the longest waiting agent of this queue has waited, in seconds.
    oldest_age_s: float | None = None
