"""Why an agent waits, failed or was rejected, and whether it needs attention."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum

from orchestrator.models.record import Instant, Record
from orchestrator.models.state import Status


class Rank(IntEnum):
    """How urgently an agent needs attention; the lowest value is the most urgent."""

    #: A process of the agent may still run and spend tokens.
    UNCONFIRMED = 0
    #: The limit that the agent reached also ends other agents.
    OVER_BUDGET = 1
    FAILED = 2
    STALLED = 3
    #: The agent works, but it will probably be ended or lost.
    AT_RISK = 4
    #: The agent waits until a person acts.
    HELD_UP = 5
    #: The agent is delivered, and something is left to do.
    DELIVERED = 6
    #: The agent waits for a condition that ends without a person.
    LIMITED = 7


class WaitingFor(StrEnum):
    """The condition that an agent waits for."""

    RESUME = "resume"
    QUEUE = "queue"
    PROVIDER = "provider"
    DISK = "disk"
    RETRY = "retry"
    SLOT = "slot"
    WORKER = "worker"


class Acknowledgement(Record):
    """Who acknowledged that an agent needs attention; it holds for this reason only."""

    code: str
    by: str
    why: str = ""
    at: Instant
    #: When it lapses; None: with the agent's record.
    until: Instant | None = None


class Attention(Record):
    """The reason of an agent's condition, and one command that helps."""

    code: str
    why: str
    command: str
    #: None if the agent needs no attention.
    rank: Rank | None = None
    waiting_for: WaitingFor | None = None
    #: The agent's position among those that wait for the same condition; the first is 1.
    place_in_line: int | None = None
    #: Who acknowledged the reason: then there is no rank.
    acknowledged: Acknowledgement | None = None


#: The newest agents of each status that a list of those that need attention examines.
MOST_EXAMINED = 500
#: The statuses whose agents may need attention; a killed one does until its end is confirmed.
MAY_NEED_ATTENTION = (Status.SPAWNING, Status.RUNNING, Status.FAILED, Status.COMPLETED)


def examines_all(counts: Mapping[Status, int]) -> bool:
    """Return whether such a list is complete, by the number of agents of each status."""
    return all(counts.get(status, 0) <= MOST_EXAMINED for status in MAY_NEED_ATTENTION)
