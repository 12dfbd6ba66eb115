"""The choices of backend, model and effort for an agent, and the record of a fallback."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from orchestrator.models.record import Instant, Record

#: The entries of `fallback` in one request.
MOST_FALLBACKS = 10
#: The latest fallbacks that the record of an agent contains.
MOST_FALLBACK_RECORDS = 20

BackendName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
#: As providers, gateways and local servers write it. It can be no option of a program and no path
#: that leads upwards.
ModelName = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9](\.?[A-Za-z0-9_:/@+\[\]-])*$",
    ),
]
Effort = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Fallback(Record):
    """An entry of `fallback`: another backend, another model of the same backend, or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("agent", "model")
            ]
        }
    )

    agent: BackendName | None = None
    model: ModelName | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.agent is None and self.model is None:
            msg = "must name agent, model, or both"
            raise ValueError(msg)
        return self


class ModelChoice(Record):
    """A backend with the model and the effort that it is started with; None for its own."""

    agent: str
    model: str | None = None
    effort: str | None = None

    @property
    def name(self) -> str:
        """`AGENT` or `AGENT:MODEL`, by which the limit of its provider is stored."""
        return f"{self.agent}:{self.model}" if self.model else self.agent


class FallbackRecord(Record):
    """A change from one choice to another because the provider of the first was at its limit."""

    at: Instant
    #: `AGENT` or `AGENT:MODEL`.
    from_choice: str = Field(alias="from")
    to: str
    reason: str
