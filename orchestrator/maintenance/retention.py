"""Removes every trace of agents whose retention has ended."""

from __future__ import annotations

from datetime import datetime

from orchestrator.log import get_logger
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agent_index
from orchestrator.store.client import Store
from orchestrator.store.retention import remove_agent

#: Of each final status and sweep.
_BATCH = 50

log = get_logger("retention")


def expire(store: Store, *, before: datetime) -> int:
    """Remove agents that ended before this instant, with all that is kept of them."""
    count = 0
    for status in sorted(FINAL):
        ended = store.run(agent_index.entered_before(status, before, limit=_BATCH))
        for agent_id in ended:
            store.follow(remove_agent(agent_id, status))
        count += len(ended)
    if count:
        log.info("retention ended", agents=count)
    return count
