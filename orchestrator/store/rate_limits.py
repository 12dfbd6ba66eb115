"""How often each key may ask: a bucket for each that fills evenly, by Valkey's clock."""

from __future__ import annotations

from orchestrator.store import keys
from orchestrator.store.operations import Operation, call

_MINUTE_MS = 60_000


def consume(kind: str, name: str, *, a_minute: int) -> Operation[int]:
    """Count one request of a kind against a key's bucket; returns 0, or the ms to wait."""
    named = {"bucket": keys.limit(kind, name)}
    return call("rate_limit", named, (a_minute, _MINUTE_MS), int)
