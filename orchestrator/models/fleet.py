"""The records of a summary of the fleet: facts that the event stream does not carry."""

from __future__ import annotations

from pydantic import Field

from orchestrator.models.attention import Attention
from orchestrator.models.event import LogLine
from orchestrator.models.killing import Halt
from orchestrator.models.record import Instant, Record
from orchestrator.models.state import AgentState, Status


class AgentSummary(Record):
    """One agent with facts that its record does not hold."""

    agent: AgentState
    last_output: LogLine | None = None
    #: The attention that the agent needs; None if it needs none.
    attention: Attention | None = None


class Fleet(Record):
    """The number of agents in each state, the reasons that delay all agents, and some agents."""

    counts: dict[Status, int]
    halt: Halt | None = None
    #: Killed agents without a kill confirmation, oldest first.
    unconfirmed: tuple[str, ...] = ()
    #: `AGENT` or `AGENT:MODEL` whose provider is at its limit → the end of the limit.
    rate_limited: dict[str, Instant] = Field(default_factory=dict)
    agents: tuple[AgentSummary, ...] = ()
