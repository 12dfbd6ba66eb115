"""What every record is: frozen, closed, camelCase on the wire; and how its faults are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel


def iso_instant(instant: datetime) -> str:
    """Render an instant as the contract does: ISO 8601 UTC, milliseconds, ending in `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[AwareDatetime, PlainSerializer(iso_instant, return_type=str)]


class Record(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    def wire(self) -> dict[str, Any]:
        """Return the JSON object of this record; absent and empty values are left out.

        Empty ones too, because Lua's cjson cannot tell an empty list from an empty object.
        """
        return _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    kept = {
        name: _without_empty(value) if isinstance(value, dict) else value
        for name, value in document.items()
    }
    return {name: value for name, value in kept.items() if value not in ([], {})}


def faults_of(error: ValidationError) -> tuple[tuple[str, str], ...]:
    """Return `(path, message)` for every fault; the faulty values themselves stay out."""
    return tuple(
        (
            ".".join(str(part) for part in fault["loc"]) or "body",
            fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors(include_url=False, include_input=False)
    )
