"""The live view of one agent: its state and its new output, without busy polling."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.models import AgentState, LogLine
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agent_logs, agents, events
from orchestrator.store.operations import Flow

#: A poll returns after this without news, so that a display can update its times.
WAIT_MS = 1000
LINES_A_LOOK = 500


@dataclass(frozen=True)
class Snapshot:
    """An agent's state, its output since the previous snapshot, and the positions reached."""

    agent: AgentState
    lines: tuple[LogLine, ...]
    log_id: str
    event_id: str

    @property
    def is_last(self) -> bool:
        """Whether the agent has ended and all of its output has been read."""
        return self.agent.status in FINAL and not self.has_more

    @property
    def has_more(self) -> bool:
        """Whether more output can be read at once."""
        return len(self.lines) == LINES_A_LOOK


def poll(agent_id: str, before: Snapshot | None = None, *, after: str = "") -> Flow[Snapshot]:
    """Read a snapshot of an agent; with `before` wait for news first, at most `WAIT_MS`.

    `after` is the id of the last log line that a follower has read earlier. Touches: the agent's
    record and log, the stream of events.

    Raises:
        NotFound: there is no such agent.
    """
    if before is not None:
        after = before.log_id
        if not before.has_more:
            yield events.wait_for_agent(
                agent_id, log_id=after or "0-0", event_id=before.event_id, block_ms=WAIT_MS
            )
    # The event id is read first, so that a later event ends the wait of the next poll.
    event_id = yield events.last_event_id()
    agent = yield agents.read(agent_id)
    lines = yield from agent_logs.read_log(agent_id, after=after, count=LINES_A_LOOK)
    return Snapshot(agent, tuple(lines), lines[-1].id if lines else after, event_id)
