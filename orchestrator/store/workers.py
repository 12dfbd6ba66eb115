"""Which pool workers are there: each renews its name, and a name not renewed is gone."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from orchestrator.messages import QUEUES
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, command, essential, nothing
from orchestrator.store.transition import now_ms

#: A worker says every 5 s that it is there, and counts as gone after three silent ones.
RENEW_EVERY_S = 5.0
PRESENT_FOR_S = 15.0


def announce(worker: str, *, now: datetime) -> Operation[None]:
    """Say that a worker (`<queue>@<host>`) is there."""
    return essential(
        "ZADD", keys.WORKERS, now_ms(now) + round(PRESENT_FOR_S * 1000), worker, decode=nothing
    )


def withdraw(worker: str) -> Operation[None]:
    """Say that a worker leaves."""
    return command("ZREM", keys.WORKERS, worker, decode=nothing)


def record_skew(worker: str, skew_s: float) -> Operation[None]:
    """Record by how much the clock of a worker's host is ahead of Valkey's."""
    return essential("HSET", keys.CLOCKS, worker, f"{skew_s:.3f}", decode=nothing)


def record_shortage(worker: str, text: str) -> Operation[None]:
    """Record why a worker starts no agent now, such as a short disk; empty if it starts them."""
    if not text:
        return essential("HDEL", keys.SHORTAGES, worker, decode=nothing)
    return essential("HSET", keys.SHORTAGES, worker, text, decode=nothing)


def shortages(present: tuple[str, ...]) -> Operation[dict[str, str]]:
    """Return why workers start no agent, of these workers."""
    return command(
        "HGETALL",
        keys.SHORTAGES,
        decode=lambda reply: {
            name.decode(): text.decode() for name, text in reply.items() if name.decode() in present
        },
    )


def skews(present: tuple[str, ...]) -> Flow[dict[str, float]]:
    """Return the recorded skew of these workers, in seconds; those of others are forgotten."""
    found: dict[str, float] = yield command("HGETALL", keys.CLOCKS, decode=_skews)
    if gone := sorted(found.keys() - {*present}):
        yield essential("HDEL", keys.CLOCKS, *gone, decode=nothing)
        yield essential("HDEL", keys.SHORTAGES, *gone, decode=nothing)
    return {worker: skew for worker, skew in found.items() if worker in present}


def _skews(reply: dict[bytes, bytes]) -> dict[str, float]:
    return {name.decode(): float(seconds) for name, seconds in reply.items()}


def present(*, now: datetime) -> Operation[tuple[str, ...]]:
    """List the workers that are there."""
    return command(
        "ZRANGE",
        keys.WORKERS,
        now_ms(now),
        "+inf",
        "BYSCORE",
        decode=lambda reply: tuple(worker.decode() for worker in reply),
    )


def missing_pools(workers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the queues that no worker serves."""
    served = Counter(worker.partition("@")[0] for worker in workers)
    return tuple(queue for queue in QUEUES if not served[queue])
