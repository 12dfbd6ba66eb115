"""The budget of the fleet: the limits in force, read and changed at run time.

What is spent follows the agents' own `usage`, in the scripts that write it (`lua/_budget.lua`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import LimitInvalid
from orchestrator.models import (
    AuditAction,
    BudgetLimits,
)
from orchestrator.settings import Settings
from orchestrator.settings.budget import Slots, WorkTime
from orchestrator.settings.values import Tokens
from orchestrator.store.budget import (
    limits,
    set_limits,
)
from orchestrator.store.operations import (
    Flow,
)

#: What may be changed at run time, and how it is written.
LimitName = Literal["daily", "agent", "concurrency", "time"]
_PARSERS: dict[LimitName, TypeAdapter[Any]] = {
    "daily": TypeAdapter(Tokens),
    "agent": TypeAdapter(Tokens),
    "concurrency": TypeAdapter(Slots),
    "time": TypeAdapter(WorkTime),
}
#: What takes a limit back to what the settings say.
DEFAULT = "default"


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
class BudgetService:
    """Changes the budget; its flows run on either executor."""

    settings: Settings
    clock: Callable[[], datetime]
    #: Appends to the audit.
    audit: Callable[[Sequence[AuditAction]], Flow[object]]

    def set(self, name: LimitName, value: str, *, by: str, why: str) -> Flow[BudgetLimits]:
        """Change a limit for the whole fleet, restarts included; returns what is in force then.

        Raises:
            LimitInvalid: it is no usable value; nothing has changed.
            AuditBroken: it is not in the audit; nothing has changed.
        """
        parsed = parse_limit(name, value)
        before = yield from limits(self.settings)
        note = AuditAction(
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
        return (yield from limits(self.settings))
