"""Removes every trace of agents whose retention has ended."""

from __future__ import annotations

from datetime import datetime

from orchestrator.log import get_logger
from orchestrator.models import Status, TaskState
from orchestrator.models.state_machine import FINAL
from orchestrator.store import changes, keys
from orchestrator.store.agent_outlines import read_partial_records
from orchestrator.store.client import Store
from orchestrator.store.operations import Flow, command, nothing, read_records
from orchestrator.store.sessions import drop_sessions
from orchestrator.store.transition import now_ms

#: Of each final status and sweep.
_BATCH = 50

log = get_logger("retention")


def expire(store: Store, *, before: datetime) -> int:
    """Remove agents that ended before this instant, with all that is kept of them."""
    count = 0
    for status in sorted(FINAL):
        index = keys.status_index(status)
        ended = store.run(
            command(
                *("ZRANGE", index, "-inf", now_ms(before), "BYSCORE", "LIMIT", 0, _BATCH),
                decode=lambda reply: [name.decode() for name in reply],
            )
        )
        for agent_id in ended:
            store.follow(_remove(agent_id, status))
        count += len(ended)
    if count:
        log.info("retention ended", agents=count)
    return count


def _remove(agent_id: str, status: Status) -> Flow[None]:
    (agent,) = yield read_partial_records(agent_id)
    if agent is not None:
        yield from drop_sessions(agent_id, agent.attempt)
        yield changes.drop_changes(agent_id, agent.attempt)
        (task,) = yield read_records(TaskState, (keys.task(agent.task_id),))
        if task is not None and task.agent_id == agent_id:
            yield command("UNLINK", keys.task(agent.task_id), decode=nothing)
        yield command("ZREM", keys.task_agents(agent.task_id), agent_id, decode=nothing)
    names = (keys.agent, keys.request, keys.log, keys.reports, keys.receipt)
    yield command("UNLINK", *(name(agent_id) for name in names), decode=nothing)
    for index in (keys.UNCONFIRMED, keys.AGENTS):
        yield command("ZREM", index, agent_id, decode=nothing)
    # Last: what is not yet removed is found again by this index.
    yield command("ZREM", keys.status_index(status), agent_id, decode=nothing)
