"""The budget in Valkey: limits in force, reservations, and changes of a limit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestrator.models import BudgetLimits, iso_instant
from orchestrator.settings import Settings
from orchestrator.store import keys
from orchestrator.store.events import EVENTS_CAP
from orchestrator.store.operations import (
    Flow,
    Operation,
    call,
    command,
    nothing,
)

#: The sum of all reservations, among them; no agent can be named so.
TOTAL = "*"


def publish(settings: Settings) -> Operation[None]:
    """Tell the fleet the limits a process was started with; the last one started wins."""
    facts = stated_limits(settings)
    pairs = [part for name, value in facts.items() for part in (name, value)]
    return command("HSET", keys.BUDGET_SETTINGS, *pairs, decode=nothing)


def apply_limits(now: datetime) -> Operation[None]:
    """Let what changed by itself take effect: a new day is told, who has a place is called."""
    return set_limits({}, now=now)


def set_limits(limits: Mapping[str, float | None], *, now: datetime) -> Operation[None]:
    """Set limits, with None back to the settings'; who has a place now is called at once."""
    return call(
        "set_limits",
        (keys.EVENTS_STREAM, *keys.budget(now)),
        (
            json.dumps(dict(limits)),
            json.dumps({"timestamp": iso_instant(now)}),
            keys.EVENTS_CHANNEL,
            EVENTS_CAP,
        ),
        nothing,
    )


def limits(settings: Settings) -> Flow[BudgetLimits]:
    """Read the limits that are in force: the settings', as published, with the changes since."""
    published = yield read_hash(keys.BUDGET_SETTINGS)
    changed = yield read_hash(keys.BUDGET_LIMITS)
    stated = {**stated_limits(settings), **published, **changed}
    return BudgetLimits(
        mode=stated["mode"],
        daily_tokens=int(stated["daily"]),
        agent_tokens=int(stated["agent"]),
        reservation_tokens=min(int(stated["reservation"]), int(stated["agent"])),
        concurrency=int(stated["concurrency"]),
        time_s=float(stated["time"]),
        changed=tuple(sorted(changed)),
    )


def reservations() -> Operation[dict[str, int]]:
    """Read what each agent has left of its reservation; their sum as `*`."""
    found = read_hash(keys.RESERVED)
    return Operation(
        found.arguments, lambda reply: {name: int(n) for name, n in found.decode(reply).items()}
    )


def recount(orphans: Sequence[str]) -> Operation[int]:
    """Drop the reservations of these agents, and sum up those of the others again."""
    return call("recount", (keys.RESERVED,), tuple(orphans), int)


def stated_limits(settings: Settings) -> dict[str, Any]:
    """Return the limits as the settings state them, by the names of the hash."""
    return {
        "mode": settings.budget_mode,
        "daily": settings.daily_tokens,
        "agent": settings.agent_tokens,
        "reservation": settings.reservation_tokens,
        "concurrency": settings.max_concurrent_agents,
        "time": settings.agent_timeout_s,
    }


def read_hash(key: str) -> Operation[dict[str, str]]:
    """Read a hash of texts."""

    def decode(reply: Mapping[bytes, bytes]) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in reply.items()}

    return command("HGETALL", key, decode=decode)
