"""The counters of what has happened, and the position up to which each stream is counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command

#: The streams that are counted.
Counted = Literal["events", "kills"]
_POSITION = "position:"


def read_counters(key: str = keys.METRICS) -> Operation[dict[str, float]]:
    """Read every counter of a hash by its name."""

    def decode(reply: Mapping[bytes, bytes]) -> dict[str, float]:
        return {
            name.decode(): float(value)
            for name, value in reply.items()
            if not name.startswith(_POSITION.encode())
        }

    return command("HGETALL", key, decode=decode)


def position_of(stream: Counted, key: str = keys.METRICS) -> Operation[str]:
    """Read the id up to which a stream is counted; empty where nothing of it is."""
    return command(
        *("HGET", key, f"{_POSITION}{stream}"),
        decode=lambda reply: reply.decode() if reply else "",
    )


def aggregate(
    stream: Counted,
    increments: Mapping[str, float],
    *,
    after: str,
    upto: str,
    key: str = keys.METRICS,
) -> Operation[bool]:
    """Add what a stretch of a stream comes to; False where another has counted it already.

    What is no number from 0 is left out: a record that holds one must not stop the counting.
    """
    pairs = (
        part
        for name, value in increments.items()
        if math.isfinite(value) and value >= 0
        for part in (name, value)
    )
    arguments = (f"{_POSITION}{stream}", after, upto, *pairs)
    return call("aggregate", {"counters": key}, arguments, bool)
