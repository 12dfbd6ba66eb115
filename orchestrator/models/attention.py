"""Why an agent waits, failed or was rejected, and whether it needs somebody."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from orchestrator.models.record import Record


class Rank(IntEnum):
    """How urgently an agent needs somebody: the least first."""

    #: Something of it may still run and spend.
    UNCONFIRMED = 0
    #: Its limit ends others too.
    OVER_BUDGET = 1
    FAILED = 2
    STALLED = 3
    #: It works, and will probably be ended or lost.
    AT_RISK = 4
    #: It waits for what a person lifts.
    HELD_UP = 5
    #: It is delivered, with something left to do.
    DELIVERED = 6
    #: It waits for what passes by itself.
    LIMITED = 7


class WaitingFor(StrEnum):
    """What an agent waits for."""

    RESUME = "resume"
    QUEUE = "queue"
    PROVIDER = "provider"
    DISK = "disk"
    RETRY = "retry"
    SLOT = "slot"
    WORKER = "worker"


class Attention(Record):
    """What is to be said of an agent, and the one command that helps."""

    code: str
    why: str
    command: str
    #: None where nobody is needed.
    rank: Rank | None = None
    waiting_for: WaitingFor | None = None
    #: Its number among those that wait for the same; the first is 1.
    place_in_line: int | None = None
