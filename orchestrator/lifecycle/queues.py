"""The queues as operators see them: what stands in each, which are paused, what was worked off."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from orchestrator.errors import NotFound
from orchestrator.lifecycle import waiting
from orchestrator.lifecycle.agents import message_of
from orchestrator.messages import (
    CLEANUP_QUEUE,
    LEAST_URGENT,
    MOST_URGENT,
    QUEUES,
    SPAWN_QUEUE,
    queue_key,
)
from orchestrator.models import AgentState, Pause, QueueState
from orchestrator.store import keys
from orchestrator.store.operations import (
    Flow,
    Operation,
    command,
    nothing,
    parse_record,
    read_records,
)

_LIMIT = 500
_LISTS = {
    queue: tuple(queue_key(queue, step) for step in range(MOST_URGENT, LEAST_URGENT - 1, -1))
    for queue in QUEUES
}


def check_name(queue: str) -> str:
    """Return the name of a queue of ours.

    Raises:
        NotFound: it is none.
    """
    if queue not in QUEUES:
        msg = f"There is no queue {queue!r}, only {', '.join(QUEUES)}."
        raise NotFound(msg, action="List them with `orch queues`.")
    return queue


def set_pause(queue: str, pause: Pause) -> Operation[None]:
    """Let no worker take from a queue; the last to pause it is the one who is named."""
    document = pause.model_dump_json(by_alias=True)
    return command("HSET", keys.PAUSED, queue, document, decode=nothing)


def lift_pause(queue: str) -> Operation[bool]:
    """Let workers take from a queue again; False where they could."""
    return command("HDEL", keys.PAUSED, queue, decode=bool)


def paused() -> Operation[dict[str, Pause]]:
    """Read which queues are paused, by whom and why."""

    def decode(reply: Any) -> dict[str, Pause]:
        return {
            queue.decode(): parse_record(Pause, keys.PAUSED, document)
            for queue, document in _pairs(reply)
        }

    return command("HGETALL", keys.PAUSED, decode=decode)


def paused_names() -> Operation[frozenset[str]]:
    """Read which queues are paused."""
    return command(
        "HKEYS", keys.PAUSED, decode=lambda reply: frozenset(name.decode() for name in reply)
    )


def count(queue: str, *, is_failed: bool) -> Operation[None]:
    """Count one message of a queue as worked off."""
    field = f"{queue}:{'failed' if is_failed else 'completed'}"
    return command("HINCRBY", keys.WORKED_OFF, field, 1, decode=nothing)


def overview(now: datetime) -> Flow[tuple[QueueState, ...]]:
    """Read every queue.

    Touches: the queues' lists, leases, delayed agents and the records of both, the pauses.
    """
    pauses = yield paused()
    done = yield _worked_off()
    active = Counter(
        (agent.worker or "").partition("@")[0] for agent in (yield from _agents((yield _held())))
    )
    delayed = Counter(
        message_of(agent).queue for agent in (yield from _agents((yield waiting.delayed())))
    )
    states: list[QueueState] = []
    for queue in QUEUES:
        lengths: list[int] = []
        oldest: list[bytes] = []
        for key in _LISTS[queue]:
            length = yield command("LLEN", key, decode=int)
            lengths.append(length)
            if length and (last := (yield command("LINDEX", key, -1, decode=_same))):
                oldest.append(last)
        held_back = (yield _uncalled()) if queue == SPAWN_QUEUE else ()
        waiting_ids = {*held_back, *map(_agent_of, oldest)} - {""}
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


def _waiting_since(queue: str, agent_ids: Iterable[str]) -> Flow[datetime | None]:
    # A message carries no instant (Celery's does not), but its agent knows since when it waits.
    agents = yield from _agents(sorted(agent_ids))
    instants = [
        agent.completed_at if queue == CLEANUP_QUEUE else agent.waiting_since or agent.spawned_at
        for agent in agents
    ]
    return min((instant for instant in instants if instant), default=None)


def _agents(agent_ids: Iterable[str]) -> Flow[list[AgentState]]:
    ids, found = tuple(agent_ids), []
    for start in range(0, len(ids), _LIMIT):
        names = tuple(map(keys.agent, ids[start : start + _LIMIT]))
        found += [agent for agent in (yield read_records(AgentState, names)) if agent]
    return found


def _held() -> Operation[tuple[str, ...]]:
    return command(
        "ZRANGE", keys.LEASES, 0, -1, decode=lambda reply: tuple(map(bytes.decode, reply))
    )


def _uncalled() -> Operation[tuple[str, ...]]:
    # Their messages wait for a place among the fleet's, which is given by urgency.
    return command("HKEYS", keys.UNCALLED, decode=lambda reply: tuple(map(bytes.decode, reply)))


def _worked_off() -> Operation[dict[str, int]]:
    return command(
        "HGETALL",
        keys.WORKED_OFF,
        decode=lambda reply: {field.decode(): int(value) for field, value in _pairs(reply)},
    )


def _pairs(reply: Any) -> Iterable[tuple[bytes, bytes]]:
    pairs: Iterable[tuple[bytes, bytes]] = reply.items()
    return pairs


def _same(reply: bytes | None) -> bytes | None:
    return reply


def _agent_of(message: bytes) -> str:
    try:
        return str(json.loads(message)["headers"]["id"]).partition(".")[0]
    except (ValueError, KeyError, TypeError):
        return ""  # not a message of Celery's
