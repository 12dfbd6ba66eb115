"""The budget of the fleet: the limits in force, how the day stands, and a change of a limit.

What is spent follows the agents' own `usage`, in the scripts that write it (`lua/_budget.lua`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import LimitInvalid
from orchestrator.models import (
    AgentSpend,
    AgentState,
    AuditNote,
    BudgetLimits,
    BudgetStatus,
    BudgetSummary,
    Spend,
    Status,
    iso_instant,
)
from orchestrator.settings import Settings
from orchestrator.settings.budget import Places, WorkTime
from orchestrator.settings.values import Tokens
from orchestrator.store import keys
from orchestrator.store.operations import (
    Flow,
    Operation,
    call,
    command,
    nothing,
    read_records,
)
from orchestrator.store.streams import EVENTS_CAP

#: What may be changed at run time, and how it is written.
LimitName = Literal["daily", "agent", "concurrency", "time"]
_PARSERS: dict[LimitName, TypeAdapter[Any]] = {
    "daily": TypeAdapter(Tokens),
    "agent": TypeAdapter(Tokens),
    "concurrency": TypeAdapter(Places),
    "time": TypeAdapter(WorkTime),
}
#: What takes a limit back to what the settings say.
DEFAULT = "default"
#: The sum of all reservations, among them; no agent can be named so.
TOTAL = "*"
_APPROACHING_PERCENT = 80
_BATCH = 500


def publish(settings: Settings) -> Operation[None]:
    """Tell the fleet the limits a process was started with; the last one started wins."""
    facts = _stated(settings)
    pairs = [part for name, value in facts.items() for part in (name, value)]
    return command("HSET", keys.BUDGET_SETTINGS, *pairs, decode=nothing)


def look_again(now: datetime) -> Operation[None]:
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


def parse_limit(name: LimitName, value: str) -> float | None:
    """Parse a limit as a person writes it; None for `default`.

    Raises:
        LimitInvalid: it is no usable value.
    """
    if value == DEFAULT:
        return None
    try:
        parsed: float = _PARSERS[name].validate_python(value)
    except ValidationError as error:
        cause = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        msg = f"{name}: {cause}."
        raise LimitInvalid(msg) from error
    return parsed


@dataclass(frozen=True)
class Budget:
    """Reads and changes the budget; its flows run on either executor."""

    settings: Settings
    clock: Callable[[], datetime]
    #: Appends to the audit.
    audit: Callable[[Sequence[AuditNote]], Flow[object]]

    def limits(self) -> Flow[BudgetLimits]:
        """Read the limits that are in force."""
        published = yield _read_hash(keys.BUDGET_SETTINGS)
        changed = yield _read_hash(keys.BUDGET_LIMITS)
        stated = {**_stated(self.settings), **published, **changed}
        return BudgetLimits(
            mode=stated["mode"],
            daily_tokens=int(stated["daily"]),
            agent_tokens=int(stated["agent"]),
            reservation_tokens=min(int(stated["reservation"]), int(stated["agent"])),
            concurrency=int(stated["concurrency"]),
            time_s=float(stated["time"]),
            changed=tuple(sorted(changed)),
        )

    def set(self, name: LimitName, value: str, *, by: str, why: str) -> Flow[BudgetLimits]:
        """Change a limit for the whole fleet, restarts included; returns what is in force then.

        Raises:
            LimitInvalid: it is no usable value; nothing has changed.
            AuditBroken: it is not in the audit; nothing has changed.
        """
        parsed = parse_limit(name, value)
        before = yield from self.limits()
        note = AuditNote(
            action="budget",
            who=by,
            why=why,
            scope=name,
            before=before.model_dump_json(by_alias=True, exclude={"changed"}),
            result=f"{name} {value}",
        )
        # Unlike a kill, what spends more does not come to pass unless it stands in the audit.
        yield from self.audit([note])
        yield set_limits({name: parsed}, now=self.clock())
        return (yield from self.limits())

    def summary(self) -> Flow[BudgetSummary]:
        """Read how today stands, and who has spent what of it, the most first."""
        now = self.clock()
        limits = yield from self.limits()
        day = yield _read_hash(keys.budget_day(now))
        reserved = yield _read_hash(keys.RESERVED)
        running = yield command("ZCARD", keys.PLACES, decode=int)
        waiting = yield command("ZCARD", keys.WAITING, decode=int)
        used = int(day.get("used", 0))
        today = {name.partition(":")[2]: int(n) for name, n in day.items() if "tokens:" in name}
        names = sorted({*today, *reserved} - {TOTAL})
        states: list[AgentState | None] = []
        for start in range(0, len(names), _BATCH):
            states += yield read_records(
                AgentState, tuple(map(keys.agent, names[start : start + _BATCH]))
            )
        rows = [
            _row(agent_id, agent, today, day, reserved, limits, used)
            for agent_id, agent in zip(names, states, strict=True)
        ]
        return BudgetSummary(
            day=now.astimezone(UTC).date().isoformat(),
            status=status_of(used, limits.daily_tokens),
            limit=limits.daily_tokens,
            used=used,
            reserved=int(reserved.get(TOTAL, 0)),
            percent=_percent(used, limits.daily_tokens),
            cost_usd=float(day.get("cost", 0)),
            delivered=_sum(rows, {Status.COMPLETED}),
            in_nothing=_sum(rows, {Status.FAILED, Status.KILLED}),
            unfinished=_sum(rows, {Status.SPAWNING, Status.RUNNING, None}),
            running=running,
            waiting=waiting,
            limits=limits,
            agents=tuple(sorted(rows, key=lambda row: (-row.tokens_today, row.agent_id))),
        )


def reservations() -> Operation[dict[str, int]]:
    """Read what each agent has left of its reservation; their sum as `*`."""
    found = _read_hash(keys.RESERVED)
    return Operation(
        found.arguments, lambda reply: {name: int(n) for name, n in found.decode(reply).items()}
    )


def recount(strays: Sequence[str]) -> Operation[int]:
    """Drop the reservations of these agents, and sum up those of the others again."""
    return call("recount", (keys.RESERVED,), tuple(strays), int)


def status_of(used: int, limit: int) -> BudgetStatus:
    """Return how what is spent of a day stands to its limit."""
    if used * 100 < limit * _APPROACHING_PERCENT:
        return BudgetStatus.WITHIN_BUDGET
    if used < limit:
        return BudgetStatus.APPROACHING_LIMIT
    return BudgetStatus.AT_LIMIT if used == limit else BudgetStatus.EXCEEDED


def _stated(settings: Settings) -> dict[str, Any]:
    return {
        "mode": settings.budget_mode,
        "daily": settings.daily_tokens,
        "agent": settings.agent_tokens,
        "reservation": settings.reservation_tokens,
        "concurrency": settings.max_concurrent_agents,
        "time": settings.agent_timeout_s,
    }


def _read_hash(key: str) -> Operation[dict[str, str]]:
    def decode(reply: Mapping[bytes, bytes]) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in reply.items()}

    return command("HGETALL", key, decode=decode)


def _row(
    agent_id: str,
    agent: AgentState | None,
    today: Mapping[str, int],
    day: Mapping[str, str],
    reserved: Mapping[str, str],
    limits: BudgetLimits,
    used: int,
) -> AgentSpend:
    spent = today.get(agent_id, 0)
    tokens = agent.usage.total_tokens if agent else spent
    cost = day.get(f"cost:{agent_id}")
    return AgentSpend(
        agent_id=agent_id,
        task_id=agent.task_id if agent else None,
        status=agent.status if agent else None,
        tokens_today=spent,
        cost_usd_today=None if cost is None else float(cost),
        tokens=tokens,
        percent=_percent(tokens, limits.agent_tokens),
        percent_of_day=_percent(spent, used),
        reserved=int(reserved.get(agent_id, 0)),
    )


def _sum(rows: Sequence[AgentSpend], statuses: set[Status | None]) -> Spend:
    some = [row for row in rows if row.status in statuses]
    return Spend(
        agents=len(some),
        tokens=sum(row.tokens_today for row in some),
        cost_usd=sum(row.cost_usd_today or 0 for row in some),
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
