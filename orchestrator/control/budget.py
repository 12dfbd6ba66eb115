"""The budget of the fleet: changes of its limits at run time.

The scripts that write an agent's `usage` also count the spent tokens (`lua/_budget.lua`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from orchestrator.errors import LimitInvalid
from orchestrator.models import (
    AuditAction,
    BudgetLimits,
)
from orchestrator.settings import Settings
from orchestrator.settings.budget import Slots, WorkTime
from orchestrator.settings.values import Dollars, Tokens
from orchestrator.store.budget import (
    LimitValue,
    limits,
    set_limits,
)
from orchestrator.store.operations import (
    Flow,
)

#: The limits that can be changed at run time.
LimitName = Literal["daily", "agent", "dailyUsd", "agentUsd", "concurrency", "time", "mode"]
_LATER = ConfigDict(defer_build=True)
_PARSERS: dict[LimitName, TypeAdapter[Any]] = {
    "daily": TypeAdapter(Tokens, config=_LATER),
    "agent": TypeAdapter(Tokens, config=_LATER),
    "dailyUsd": TypeAdapter(Dollars, config=_LATER),
    "agentUsd": TypeAdapter(Dollars, config=_LATER),
    "concurrency": TypeAdapter(Slots, config=_LATER),
    "time": TypeAdapter(WorkTime, config=_LATER),
    "mode": TypeAdapter(Literal["hard", "soft"], config=_LATER),
}
#: The value that resets a limit to the one of the settings.
DEFAULT = "default"


def parse_limit(name: LimitName, value: str) -> LimitValue:
    """Parse the text of a limit: tokens, dollars, slots, seconds, the mode; None for `default`.

    Raises:
        LimitInvalid: the value is not valid for this limit.
    """
    if value == DEFAULT:
        return None
    try:
        parsed: LimitValue = _PARSERS[name].validate_python(value)
    except ValidationError as error:
        cause = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        msg = f"{name}: {cause}."
        raise LimitInvalid(msg) from error
    return parsed


@dataclass(frozen=True)
class BudgetService:
    """Changes the budget; its flows run on the sync and the async executor."""

    settings: Settings
    clock: Callable[[], datetime]
    #: Appends to the audit.
    audit: Callable[[Sequence[AuditAction]], Flow[object]]

    def set(self, name: LimitName, value: str, *, by: str, why: str) -> Flow[BudgetLimits]:
        """Change a limit for the whole fleet, lasting over restarts; return the limits in force.

        Raises:
            LimitInvalid: the value is not valid; nothing has changed.
            AuditBroken: the audit cannot be written; nothing has changed.
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
        # A limit is changed only after the audit is written; a kill does not wait for it.
        yield from self.audit([note])
        yield set_limits({name: parsed}, now=self.clock())
        return (yield from limits(self.settings))
