"""The budget in Valkey: limits in force, reservations, and changes of a limit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from orchestrator.models import BudgetLimits, Spend, iso_instant
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
#: What the usage of an ended agent counts as, as in `lua/_budget.lua`.
OUTCOMES = ("delivered", "in_nothing")
_MEASURES = ("agents", "tokens", "cost")


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


@dataclass(frozen=True)
class DaySums:
    """What all agents have spent on a day, and those of each outcome: `delivered`, `in_nothing`."""

    tokens: int
    cost_usd: float
    outcomes: Mapping[str, Spend]


def day_sums(now: datetime) -> Operation[DaySums]:
    """Read the sums of a day, which the scripts keep that charge usage and end agents."""
    names = [f"{outcome}:{measure}" for outcome in OUTCOMES for measure in _MEASURES]

    def decode(reply: list[bytes | None]) -> DaySums:
        tokens, cost, *sums = map(_number, reply)
        rows = (sums[at : at + len(_MEASURES)] for at in range(0, len(sums), len(_MEASURES)))
        spends = (Spend(agents=int(n), tokens=int(t), cost_usd=usd) for n, t, usd in rows)
        return DaySums(int(tokens), cost, dict(zip(OUTCOMES, spends, strict=True)))

    return command("HMGET", keys.budget_day(now), "used", "cost", *names, decode=decode)


def spender_count(now: datetime) -> Operation[int]:
    """Count the agents that have spent tokens on a day."""
    return command("ZCARD", keys.spenders(now), decode=int)


def most_spending(now: datetime, *, limit: int) -> Operation[dict[str, int]]:
    """Read the agents with the most tokens of a day → those tokens, the most first."""

    def decode(reply: list[bytes]) -> dict[str, int]:
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return {name.decode(): int(float(tokens)) for name, tokens in pairs}

    return command("ZRANGE", keys.spenders(now), 0, limit - 1, "REV", "WITHSCORES", decode=decode)


def costs_of(agent_ids: Sequence[str], now: datetime) -> Operation[list[float | None]]:
    """Read the cost of each of these agents on a day; None for one without any."""
    names = (f"cost:{agent_id}" for agent_id in agent_ids)
    return command(
        *("HMGET", keys.budget_day(now), *names),
        decode=lambda reply: [None if cost is None else _number(cost) for cost in reply],
    )


def reservations_of(agent_ids: Sequence[str]) -> Operation[list[int]]:
    """Read what each of these agents has left of its reservation; `*` for the sum of all."""
    return command(
        *("HMGET", keys.RESERVED, *agent_ids),
        decode=lambda reply: [int(_number(tokens)) for tokens in reply],
    )


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
    return {name.decode(): _number(value) for name, value in reply.items()}


def _number(value: bytes | None) -> float:
    """Decode a number; what is no finite number counts as 0, as it does in the scripts."""
    try:
        number = float(value or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _read_hash(key: str) -> Operation[dict[str, str]]:
    """Read a hash of texts."""

    def decode(reply: Mapping[bytes, bytes]) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in reply.items()}

    return command("HGETALL", key, decode=decode)
