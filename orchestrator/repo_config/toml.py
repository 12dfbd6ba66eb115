"""Reads TOML of repositories, within a time that depends on its size only, and its tables."""

from __future__ import annotations

import re
import tomllib
from typing import Any

#: tomllib reads a key of n parts in n * n steps: 100,000 parts, 200 KB, took minutes.
_MOST_PARTS = 200
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|' + r"'[^']*'")


def table_in(document: Any, *names: str) -> dict[str, Any]:
    """Return the table at these names of a document, or the document; empty if it is no table."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def read_toml(text: str) -> dict[str, Any]:
    """Parse TOML that anyone may have written.

    Raises:
        tomllib.TOMLDecodeError: it is malformed, a key has more than 200 parts, or it is nested too
            deeply.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > _MOST_PARTS and _STRING.sub("", line).count(".") > _MOST_PARTS:
            msg = f"A key has more than {_MOST_PARTS} parts (at line {number})"
            raise tomllib.TOMLDecodeError(msg)
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        msg = "Nested too deeply"
        raise tomllib.TOMLDecodeError(msg) from error
