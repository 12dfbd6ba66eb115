"""The queues as operators see them: what stands in each, which are paused, what was worked off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from orchestrator.messages import (
    CLEANUP_QUEUE,
    QUEUES,
    SPAWN_QUEUE,
    agent_of,
)
from orchestrator.models import AgentState, QueueState
from orchestrator.store import delays, keys
from orchestrator.store import queues as stored
from orchestrator.store.agent_transitions import message_of
from orchestrator.store.operations import (
    Flow,
    read_records,
)

#: Records that one read asks for.
_LIMIT = 500


def overview(now: datetime) -> Flow[tuple[QueueState, ...]]:
    """Read every queue.

    Touches: the queues' lists, leases, delayed agents and the records of both, the pauses.
    """
    pauses = yield stored.paused()
    done = yield stored.worked_off()
    held = yield from _agents((yield stored.held()))
    active = Counter((agent.worker or "").partition("@")[0] for agent in held)
    delayed = Counter(
        message_of(agent).queue for agent in (yield from _agents((yield delays.delayed())))
    )
    states: list[QueueState] = []
    for queue in QUEUES:
        lengths: list[int] = []
        oldest: list[bytes] = []
        for key in stored.LISTS[queue]:
            length = yield stored.length(key)
            lengths.append(length)
            if length and (last := (yield stored.oldest_message(key))):
                oldest.append(last)
        held_back = (yield stored.uncalled()) if queue == SPAWN_QUEUE else ()
        waiting_ids = {*held_back, *map(agent_of, oldest)} - {""}
        since = yield from _waiting_since(queue, waiting_ids)
        states.append(
            QueueState(
                name=queue,
                pending=sum(lengths) + len(held_back),
                active=active[queue],
                completed=done.get(f"{queue}:completed", 0),
                failed=done.get(f"{queue}:failed", 0),
                delayed=delayed[queue],
                is_paused=queue in pauses,
                pause=pauses.get(queue),
                oldest_age_s=max((now - since) / timedelta(seconds=1), 0) if since else None,
            )
        )
    return tuple(states)


def _agents(agent_ids: Iterable[str]) -> Flow[list[AgentState]]:
    ids, found = tuple(agent_ids), []
    for start in range(0, len(ids), _LIMIT):
        names = tuple(map(keys.agent, ids[start : start + _LIMIT]))
        found += [agent for agent in (yield read_records(AgentState, names)) if agent]
    return found


def _waiting_since(queue: str, agent_ids: Iterable[str]) -> Flow[datetime | None]:
    # A message carries no instant (Celery's does not), but its agent knows since when it waits.
    agents = yield from _agents(sorted(agent_ids))
    instants = [
        agent.completed_at if queue == CLEANUP_QUEUE else agent.waiting_since or agent.spawned_at
        for agent in agents
    ]
    return min((instant for instant in instants if instant), default=None)
