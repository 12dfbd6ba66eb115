"""The body of `PATCH /budget`."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from orchestrator.api.http.schemas import Because
from orchestrator.control.budget import LimitName
from orchestrator.models.record import WHOLE
from orchestrator.settings.values import MOST_TOKENS, MOST_USD

_Tokens = Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS), WHOLE]
#: As precise as it is stored.
_LEAST_USD = 0.000001
_Dollars = Annotated[float, Field(strict=True, ge=_LEAST_USD, le=MOST_USD)]


class LimitsBody(Because):
    """Changes of limits; the others stay. `default` restores the value of the settings."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in get_args(LimitName)
            ]
        }
    )

    #: Tokens.
    daily: _Tokens | Literal["default"] | None = None
    agent: _Tokens | Literal["default"] | None = None
    #: Dollars.
    daily_usd: _Dollars | Literal["default"] | None = None
    agent_usd: _Dollars | Literal["default"] | None = None
    #: Agents at once.
    concurrency: (
        Annotated[int, Field(strict=True, ge=1, le=1000), WHOLE] | Literal["default"] | None
    ) = None
    #: Seconds.
    time: (
        Annotated[int, Field(strict=True, ge=1, le=30 * 86_400), WHOLE] | Literal["default"] | None
    ) = None

    #: Whether a limit stops agents (`hard`), or is only reported (`soft`).
    mode: Literal["hard", "soft", "default"] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.changes():
            msg = f"must change one of {', '.join(get_args(LimitName))}"
            raise ValueError(msg)
        return self

    def changes(self) -> dict[LimitName, str]:
        """Return the new values by the names of the limits."""
        given = self.model_dump(by_alias=True, exclude_none=True)
        names: tuple[LimitName, ...] = get_args(LimitName)
        return {name: _text(given[name]) for name in names if name in given}


def _text(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
