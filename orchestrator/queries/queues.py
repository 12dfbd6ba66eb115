"""The summary of the queues: their messages, pauses, and counts of finished work."""

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
from orchestrator.models import QueueState
from orchestrator.store import agents, delays, leases, slots
from orchestrator.store import queues as stored
from orchestrator.store.agent_transitions import message_of
from orchestrator.store.operations import Flow


def overview(now: datetime) -> Flow[tuple[QueueState, ...]]:
    """Read the summary of every queue.

    Touches: the lists of the queues, the leases, the delayed agents, their records, the pauses.
    """
    pauses = yield stored.paused()
    done = yield stored.worked_off()
    held = yield from agents.read_each((yield leases.holders()))
    active = Counter((agent.worker or "").partition("@")[0] for agent in held)
    put_off = yield from agents.read_each((yield delays.delayed()))
    delayed = Counter(message_of(agent).queue for agent in put_off)
    states: list[QueueState] = []
    for queue in QUEUES:
        pending, oldest = yield from stored.backlog(queue)
        held_back = 0
        longest: list[str] = []
        if queue == SPAWN_QUEUE:
            held_back = yield delays.uncalled_count()
            longest = yield from slots.longest_waiting()
        # Without a shortage, such as of disk space, these would be in the queue.
        short = {a.agent_id for a in put_off if a.waiting_for and message_of(a).queue == queue}
        waiting_ids = {*longest, *short, *map(agent_of, oldest)} - {""}
        since = yield from _waiting_since(queue, waiting_ids)
        states.append(
            QueueState(
                name=queue,
                pending=pending + held_back,
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


def _waiting_since(queue: str, agent_ids: Iterable[str]) -> Flow[datetime | None]:
    # A message of Celery has no timestamp, so the record of its agent is read.
    found = yield from agents.read_each(sorted(agent_ids))
    instants = [
        agent.completed_at if queue == CLEANUP_QUEUE else agent.waiting_since or agent.spawned_at
        for agent in found
    ]
    return min((instant for instant in instants if instant), default=None)


def waiting_for_resources() -> Flow[Counter[str]]:
    """Count the agents that wait for a resource of a host, by its name, such as `disk`."""
    put_off = yield from agents.read_each((yield delays.delayed()))
    return Counter(agent.waiting_for.partition(":")[0] for agent in put_off if agent.waiting_for)
