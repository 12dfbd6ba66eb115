"""Parses single values of the environment, and declares the variable of a field."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_TOKENS = re.compile(r"(\d+(?:\.\d+)?)\s*([kmb])?", re.IGNORECASE)
_SIZE = {None: 1, "k": 10**3, "m": 10**6, "b": 10**9}
_DOLLARS = re.compile(r"\$?(\d+(?:\.\d{1,6})?)")
MOST_USD = 1_000_000.0
#: No fleet spends more in a day: a larger number is a mistake.
MOST_TOKENS = 10**12


def parse_tokens(text: object) -> int:
    """Parse `200000`, `200k`, `5M` or `1.5B` into a number of tokens.

    Raises:
        ValueError: the text has none of these forms, or the number is not whole, not positive,
            or too large.
    """
    match = _TOKENS.fullmatch(str(text).strip())
    number = Decimal(match[1]) * _SIZE[match[2] and match[2].lower()] if match else Decimal(0)
    if number != number.to_integral_value() or not 1 <= number <= MOST_TOKENS:
        msg = f"must be a number of tokens from 1 to {MOST_TOKENS}, such as 200k or 5M"
        raise ValueError(msg)
    return int(number)


def parse_dollars(text: object) -> float:
    """Parse `20`, `0.5` or `$0.5` into dollars.

    Raises:
        ValueError: the text has none of these forms, or the number is not positive, too large, or
            has more than 6 decimals.
    """
    match = _DOLLARS.fullmatch(str(text).strip())
    dollars = float(match[1]) if match else 0.0
    if not 0 < dollars <= MOST_USD:
        msg = f"must be a number of dollars above 0 and up to {MOST_USD:,.0f}, such as 20 or 0.50"
        raise ValueError(msg)
    return dollars


def parse_duration(text: object) -> float:
    """Parse `90`, `90s`, `5m`, `1.5h` or `250ms` into seconds.

    Raises:
        ValueError: the text has none of these forms, or the duration is not positive.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None or (seconds := float(match[1]) * _UNIT_S[match[2]]) <= 0:
        msg = "must be a positive duration such as 90s, 5m or 2h"
        raise ValueError(msg)
    return seconds


def split_names(names: object) -> object:
    """Split a list of names that commas or blanks separate."""
    return names.lower().replace(",", " ").split() if isinstance(names, str) else names


def split_paths(paths: object) -> object:
    """Split a list of paths that colons separate."""
    return [part for part in paths.split(":") if part] if isinstance(paths, str) else paths


def check_base_url(text: str) -> str:
    """Return the base address of an HTTP API.

    Raises:
        ValueError: it has no host, another scheme, a query or a fragment.
    """
    address = urlsplit(text)
    is_http = address.scheme in {"http", "https"} and bool(address.hostname)
    if not is_http or address.query or address.fragment or address.port == 0:
        msg = "must be a URL such as https://gateway.example.org/v1, without a query"
        raise ValueError(msg)
    return text


Duration = Annotated[float, BeforeValidator(parse_duration)]
Tokens = Annotated[int, BeforeValidator(parse_tokens)]
Dollars = Annotated[float, BeforeValidator(parse_dollars)]
Port = Annotated[int, Field(ge=1, le=65_535)]
BaseUrl = Annotated[str, AfterValidator(check_base_url)]
Positive = Annotated[int, Field(ge=1)]


class SettingsGroup(BaseModel):
    """A group of settings; `load_settings` passes the values of the variables.

    Only the schema of all groups together is built, at its first use.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True, defer_build=True)


def env(name: str, *, description: str, **constraints: Any) -> Any:
    """Return a field that is read from the variable `name`; docs print its description."""
    return Field(validation_alias=name, description=description, **constraints)
