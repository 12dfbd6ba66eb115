"""The Valkey server itself: whether it answers, how it is set up, and its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.store import keys
from orchestrator.store.operations import Operation, command, nothing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ping() -> Operation[None]:
    """Ask for an answer."""
    return command("PING", decode=nothing)


def try_write() -> Operation[None]:
    """Ask for a write that changes nothing; a Valkey without memory accepts it."""
    return command("HDEL", keys.SHORTAGES, "", decode=nothing)


def now() -> Operation[datetime]:
    """Read the present time of the server's clock, in UTC."""
    return command(
        "TIME",
        decode=lambda reply: _EPOCH + timedelta(seconds=int(reply[0]), microseconds=int(reply[1])),
    )


def read_info() -> Operation[dict[str, Any]]:
    """Read what the server says of itself, as `INFO` names it."""
    return command("INFO", decode=dict)
