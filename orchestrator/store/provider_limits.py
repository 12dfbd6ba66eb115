"""The limits of model providers: until when no agent of a backend starts."""

from __future__ import annotations

from datetime import datetime

from orchestrator.store import keys
from orchestrator.store.operations import Operation, command, nothing
from orchestrator.store.transition import now_ms


def limit_provider(backend: str, *, until: datetime, now: datetime) -> Operation[None]:
    """Let no agent of a backend start before an instant."""
    left_ms = max(now_ms(until) - now_ms(now), 1)
    return command(
        "SET", keys.provider_limit(backend), now_ms(until), "PX", left_ms, decode=nothing
    )


def limited_until_ms(backend: str) -> Operation[int]:
    """Return the instant (ms) before which no agent of a backend starts; 0 if any may."""
    return command("GET", keys.provider_limit(backend), decode=lambda reply: int(reply or 0))
