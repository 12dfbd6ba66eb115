"""When the sweep last ran, and who ran it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from orchestrator.store import keys
from orchestrator.store.operations import Operation, command, essential, nothing
from orchestrator.store.transition import now_ms

#: The scheduler asks for a sweep this often.
SWEEP_EVERY_S = 5.0
#: Without a sweep for this long, leases, due dates and retention stand still.
SWEEP_OVERDUE_S = 60.0


class Sweeper(StrEnum):
    """Who starts sweeps: the scheduler, and the timer of each cleanup worker."""

    SCHEDULER = "scheduler"
    TIMER = "timer"


def record(sweeper: Sweeper, *, now: datetime) -> Operation[None]:
    """Record that a sweep of this origin has ended; works at Valkey's maxmemory too."""
    return essential("HSET", keys.SWEEPS, sweeper.value, now_ms(now), decode=nothing)


def last_ms() -> Operation[dict[str, int]]:
    """Return the instant (ms, by Valkey's clock) of the last sweep of each origin."""
    return command(
        "HGETALL",
        keys.SWEEPS,
        decode=lambda reply: {name.decode(): int(ms) for name, ms in reply.items()},
    )


def age_s(last: dict[str, int], now: datetime) -> float | None:
    """Return the age of the newest sweep; None if there was none.

    An instant in the future counts as old: Valkey's clock was set back, and that sweep was before.
    """
    if not last:
        return None
    present = now_ms(now)
    return min(abs(present - one) for one in last.values()) / 1000
