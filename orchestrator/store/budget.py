"""The budget in Valkey: limits in force, reservations, and changes of a limit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

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

#: Tokens, slots, seconds or dollars; the mode is a text; None is the value of the settings.
LimitValue = float | Literal["hard", "soft"] | None
#: Stored in place of a limit of dollars that is not set.
_UNLIMITED = "none"
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


def set_limits(limits: Mapping[str, LimitValue], *, now: datetime) -> Operation[None]:
    """Set limits, with None back to the settings'; who has a place now is called at once."""
    return call(
        "set_limits",
        {"events": keys.EVENTS_STREAM, "budget": keys.budget(now)},
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
    published = yield _read_hash(keys.BUDGET_SETTINGS)
    changed = yield _read_hash(keys.BUDGET_LIMITS)
    stated = {**stated_limits(settings), **published, **changed}
    return BudgetLimits(
        mode=stated["mode"],
        daily_tokens=int(stated["daily"]),
        agent_tokens=int(stated["agent"]),
        reservation_tokens=min(int(stated["reservation"]), int(stated["agent"])),
        concurrency=int(stated["concurrency"]),
        time_s=float(stated["time"]),
        daily_usd=_dollars(stated["dailyUsd"]),
        agent_usd=_dollars(stated["agentUsd"]),
        changed=tuple(sorted(changed)),
    )


def reservations() -> Operation[dict[str, int]]:
    """Read what each agent has left of its reservation; their sum as `*`."""
    return command(
        *("HGETALL", keys.RESERVED),
        decode=lambda reply: {name: int(number) for name, number in _numbers(reply).items()},
    )


def spent_today(now: datetime) -> Flow[dict[str, float]]:
    """Read the account of the day: `used`, `cost`, `tokens:<agentId>`, `cost:<agentId>`.

    In parts, because reading a hash of 200,000 fields at once delays every other client.
    """
    found: dict[str, float] = {}
    cursor = 0
    while True:
        cursor, part = yield command(
            *("HSCAN", keys.budget_day(now), cursor, "COUNT", 1_000),
            decode=lambda reply: (int(reply[0]), _numbers(reply[1])),
        )
        found |= part
        if not cursor:
            return found


def recount(orphans: Sequence[str]) -> Operation[int]:
    """Drop the reservations of these agents, and sum up those of the others again."""
    named = {"reserved": keys.RESERVED, "requests": keys.MODEL_REQUESTS}
    return call("recount", named, tuple(orphans), int)


def stated_limits(settings: Settings) -> dict[str, Any]:
    """Return the limits as the settings state them, by the names of the hash."""
    return {
        "mode": settings.budget_mode,
        "daily": settings.daily_tokens,
        "agent": settings.agent_tokens,
        "reservation": settings.reservation_tokens,
        "concurrency": settings.max_concurrent_agents,
        "time": settings.agent_timeout_s,
        "dailyUsd": settings.daily_usd or _UNLIMITED,
        "agentUsd": settings.agent_usd or _UNLIMITED,
    }


def _dollars(value: str | float) -> float | None:
    return None if value == _UNLIMITED else float(value)


def _numbers(reply: Mapping[bytes, bytes]) -> dict[str, float]:
    """Decode a hash of numbers; what is no finite number counts as 0, as it does in the scripts."""
    found: dict[str, float] = {}
    for name, value in reply.items():
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        found[name.decode()] = number if math.isfinite(number) else 0.0
    return found


def _read_hash(key: str) -> Operation[dict[str, str]]:
    """Read a hash of texts."""

    def decode(reply: Mapping[bytes, bytes]) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in reply.items()}

    return command("HGETALL", key, decode=decode)
