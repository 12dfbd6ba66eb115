"""The queues in Valkey: pauses, counts, and the messages in each list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.errors import NotFound
from orchestrator.messages import (
    LEAST_URGENT,
    MOST_URGENT,
    QUEUES,
    queue_key,
)
from orchestrator.models import Pause
from orchestrator.store import keys
from orchestrator.store.operations import (
    Flow,
    Operation,
    command,
    nothing,
    parse_record,
)

#: Queue → its lists, in the order in which they are served.
LISTS = {
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


def worked_off() -> Operation[dict[str, int]]:
    """Read how many messages of each queue were worked off: `<queue>:completed`, `:failed`."""
    return command(
        "HGETALL",
        keys.WORKED_OFF,
        decode=lambda reply: {field.decode(): int(value) for field, value in _pairs(reply)},
    )


def _pairs(reply: Any) -> Iterable[tuple[bytes, bytes]]:
    pairs: Iterable[tuple[bytes, bytes]] = reply.items()
    return pairs


def length(key: str) -> Operation[int]:
    """Count the messages of one list."""
    return command("LLEN", key, decode=int)


def next_messages(key: str, count: int) -> Operation[list[bytes]]:
    """Read the messages of a list that are served next, in that order."""
    return command("LRANGE", key, -count, -1, decode=lambda reply: list(reversed(reply)))


def rank_for_slot(agent_id: str) -> Operation[int | None]:
    """Return an agent's number among those that wait for a slot; None where it does not."""
    return command(
        *("ZRANK", keys.WAITING, agent_id),
        decode=lambda reply: None if reply is None else int(reply) + 1,
    )


def backlog(queue: str) -> Flow[tuple[int, list[bytes]]]:
    """Count the messages of a queue, and read the one of each priority that is served next."""
    pending, heads = 0, []
    for key in LISTS[queue]:
        length: int = yield command("LLEN", key, decode=int)
        pending += length
        if length:
            head: bytes | None = yield command("LINDEX", key, -1, decode=lambda reply: reply)
            heads += [head] if head else []
    return pending, heads
