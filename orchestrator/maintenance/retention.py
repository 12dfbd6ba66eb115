"""Retention: removes the data of agents whose retention has ended."""

from __future__ import annotations

from datetime import datetime

from orchestrator.log import get_logger
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agent_index
from orchestrator.store.client import Store
from orchestrator.store.retention import remove_agent

#: The limit of removed agents for each final status and sweep.
_BATCH = 50

log = get_logger("retention")


def expire(store: Store, *, before: datetime) -> int:
    """Remove all data of agents that ended before this instant; return their number.

    One call removes at most `_BATCH` agents of each final status.
    """
    count = 0
    for status in sorted(FINAL):
        ended = store.run(agent_index.entered_before(status, before, limit=_BATCH))
        for agent_id in ended:
            store.follow(remove_agent(agent_id, status))
        count += len(ended)
    if count:
        log.info("retention ended", agents=count)
    return count
