"""Which pool workers are there: each renews its name, and a name not renewed is gone."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from orchestrator.messages import QUEUES
from orchestrator.store import keys
from orchestrator.store.operations import Operation, command, essential, nothing
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
