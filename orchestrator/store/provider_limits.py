"""The limits of model providers: until when no agent of a backend and model starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from orchestrator.models import AgentState, ModelChoice
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command, nothing
from orchestrator.store.transition import now_ms

#: The name of a choice → the instant (ms) before which no agent of it starts.
Limits = Mapping[str, int]


def limit_provider(choice: ModelChoice, *, until: datetime, now: datetime) -> Operation[None]:
    """Let no agent of a backend and model start before an instant."""
    return call(
        "limit_provider",
        {"limits": keys.PROVIDER_LIMITS},
        (choice.name, now_ms(until), now_ms(now)),
        nothing,
    )


def read_limits() -> Operation[Limits]:
    """Read the limits of all providers; limits that are over may be among them."""
    return command("ZRANGE", keys.PROVIDER_LIMITS, 0, -1, "WITHSCORES", decode=_limits)


def limited_until_ms(agent: AgentState, limits: Limits) -> int:
    """Return the instant (ms) at which the first of an agent's providers is free; 0 if one is."""
    return min(limits.get(choice.name, 0) for choice in agent.all_choices)


def _limits(reply: list[bytes]) -> Limits:
    names, scores = reply[::2], reply[1::2]
    return {name.decode(): int(float(score)) for name, score in zip(names, scores, strict=True)}
