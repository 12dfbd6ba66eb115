"""The Valkey server itself: whether it answers, and how it is set up."""

from __future__ import annotations

from typing import Any

from orchestrator.store.operations import Operation, command, nothing


def ping() -> Operation[None]:
    """Ask for an answer."""
    return command("PING", decode=nothing)


def read_info() -> Operation[dict[str, Any]]:
    """Read what the server says of itself, as `INFO` names it."""
    return command("INFO", decode=dict)
