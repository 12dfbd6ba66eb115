"""The counters of the last hour and day, and the position up to which events are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.store import keys, metrics
from orchestrator.store.operations import Operation, command


def read_trends() -> Operation[dict[str, float]]:
    """Read every counter by its name."""
    return metrics.read_counters(keys.TRENDS)


def position() -> Operation[str]:
    """Read the id of the last counted event; empty where none is."""
    return metrics.position_of("events", keys.TRENDS)


def add(increments: Mapping[str, float], *, after: str, upto: str) -> Operation[bool]:
    """Add the counts of a section of the stream; False where another has counted it already."""
    return metrics.aggregate("events", increments, after=after, upto=upto, key=keys.TRENDS)


def drop(names: Sequence[str]) -> Operation[int]:
    """Remove counters by their names; return how many there were."""
    return command("HDEL", keys.TRENDS, *names, decode=int)
