"""The model that every record extends: frozen, closed, camelCase on the wire; and its faults."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
)
from pydantic.alias_generators import to_camel


def iso_instant(instant: datetime) -> str:
    """Render an instant as ISO 8601 UTC with milliseconds and `Z`, as the contract requires."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[AwareDatetime, PlainSerializer(iso_instant, return_type=str)]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: For a strict integer: JSON Schema has 5.0 as one. 5.5, "5" and true stay, and are refused.
WHOLE = BeforeValidator(_whole)


class Record(BaseModel):
    """A frozen record that refuses unknown keys."""

    # Most processes read few of the records: each schema is built at its first use.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,
    )

    def wire(self) -> dict[str, Any]:
        """Return the JSON object of this record without absent and empty values.

        Empty values are left out: Lua's cjson cannot distinguish an empty list from an object.
        """
        return _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    kept = {
        name: _without_empty(value) if isinstance(value, dict) else value
        for name, value in document.items()
    }
    return {name: value for name, value in kept.items() if value not in ([], {})}


def faults_of(error: ValidationError) -> tuple[tuple[str, str], ...]:
    """Return `(path, message)` for every fault; faulty values are not included."""
    return tuple(
        (
            ".".join(str(part) for part in fault["loc"]) or "body",
            fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors(include_url=False, include_input=False)
    )
