"""The records of a look at the whole fleet: what its own events do not tell."""

from __future__ import annotations

from pydantic import Field

from orchestrator.models.attention import Attention
from orchestrator.models.event import LogLine
from orchestrator.models.killing import Halt
from orchestrator.models.record import Instant, Record
from orchestrator.models.state import AgentState, Status


class AgentSummary(Record):
    """One agent, and what its record does not hold."""

    agent: AgentState
    last_output: LogLine | None = None
    #: What it needs somebody for; None if it can be left alone.
    attention: Attention | None = None


class Fleet(Record):
    """How many agents there are in each state, what holds all of them up, and some of them."""

    counts: dict[Status, int]
    halt: Halt | None = None
    #: Killed agents of which nobody has yet seen that nothing runs, oldest first.
    unconfirmed: tuple[str, ...] = ()
    #: Backends whose provider takes no more requests → until when.
    parked: dict[str, Instant] = Field(default_factory=dict)
    agents: tuple[AgentSummary, ...] = ()
