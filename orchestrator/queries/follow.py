"""Following one agent without polling: its state and its new output, look by look."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.models import AgentState, LogLine
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agent_logs, agents, events
from orchestrator.store.operations import Flow

#: A follower looks again after this, so that what it shows of time goes on.
WAIT_MS = 1000
LINES_A_LOOK = 500


@dataclass(frozen=True)
class Snapshot:
    """An agent's state, the output that is new since the look before, and where to go on."""

    agent: AgentState
    lines: tuple[LogLine, ...]
    log_id: str
    event_id: str

    @property
    def is_last(self) -> bool:
        """Whether the agent has ended and all it said has been seen."""
        return self.agent.status in FINAL and not self.has_more

    @property
    def has_more(self) -> bool:
        """Whether more output waits already."""
        return len(self.lines) == LINES_A_LOOK


def poll(agent_id: str, before: Snapshot | None = None, *, after: str = "") -> Flow[Snapshot]:
    """Look at an agent; after a look before, wait until it speaks or moves, a second at most.

    `after` is the id of the last line a follower saw earlier.

    Raises:
        NotFound: there is no such agent.
    """
    if before is not None:
        after = before.log_id
        if not before.has_more:
            yield events.wait_for_agent(
                agent_id, log_id=after or "0-0", event_id=before.event_id, block_ms=WAIT_MS
            )
    # In this order nothing slips by: what happens after these reads ends the next look's wait.
    event_id = yield events.last_event_id()
    agent = yield agents.read(agent_id)
    lines = yield agent_logs.read_log(agent_id, after=after, count=LINES_A_LOOK)
    return Snapshot(agent, tuple(lines), lines[-1].id if lines else after, event_id)
