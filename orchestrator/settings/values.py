"""How single values of the environment are written: durations, ports, and a field's variable."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: object) -> float:
    """Parse `90`, `90s`, `5m`, `1.5h` or `250ms` into seconds.

    Raises:
        ValueError: it is none of these, or not positive.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None or (seconds := float(match[1]) * _UNIT_S[match[2]]) <= 0:
        msg = "must be a positive duration such as 90s, 5m or 2h"
        raise ValueError(msg)
    return seconds


def split_names(names: object) -> object:
    """Split a list of names written with commas or blanks."""
    return names.lower().replace(",", " ").split() if isinstance(names, str) else names


Duration = Annotated[float, BeforeValidator(parse_duration)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Positive = Annotated[int, Field(ge=1)]


def env(name: str, **constraints: Any) -> Any:
    """Return a field that is read from the variable of this name."""
    return Field(validation_alias=name, **constraints)
