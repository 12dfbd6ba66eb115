"""The output of one agent: a capped stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.models import LogLine
from orchestrator.store import keys
from orchestrator.store.events import FIRST_ID, field_of
from orchestrator.store.operations import Operation, call, command, parse_record

#: The memory of one log in Valkey, unless the settings say otherwise.
DEFAULT_LOG_BYTES = 16 * 2**20


def append_log(
    agent_id: str,
    attempt: int,
    lines: Iterable[LogLine],
    *,
    cap: int,
    most_bytes: int = DEFAULT_LOG_BYTES,
) -> Operation[bool]:
    """Append output of one attempt; False if the attempt no longer owns the agent.

    Of more than `cap` lines, or of more bytes of Valkey's memory, the newest are kept.
    """
    documents = (line.model_dump_json(by_alias=True, exclude={"id"}) for line in lines)
    named = {"agent": keys.agent(agent_id), "log": keys.log(agent_id)}
    # A setting in bytes is a subclass of int, which the client does not send.
    return call("append_log", named, (attempt, cap, int(most_bytes), *documents), bool)


def read_log(agent_id: str, *, after: str = "", count: int = 500) -> Operation[list[LogLine]]:
    """Read lines of output after an id, oldest first."""
    key = keys.log(agent_id)
    start = f"({after}" if after else FIRST_ID
    return command(
        "XRANGE", key, start, "+", "COUNT", count, decode=lambda reply: _lines(key, reply)
    )


def last_line(agent_id: str) -> Operation[LogLine | None]:
    """Read the newest line of output; None where there is none."""
    key = keys.log(agent_id)
    return command(
        *("XREVRANGE", key, "+", "-", "COUNT", 1),
        decode=lambda reply: _lines(key, reply)[0] if reply else None,
    )


def last_lines(agent_id: str, count: int) -> Operation[tuple[LogLine, ...]]:
    """Read the newest lines of output, oldest first."""
    key = keys.log(agent_id)
    return command(
        *("XREVRANGE", key, "+", "-", "COUNT", count),
        decode=lambda reply: tuple(reversed(_lines(key, reply))),
    )


def _lines(key: str, reply: list[Any]) -> list[LogLine]:
    return [
        parse_record(LogLine, key, field_of(key, entry, b"line")).model_copy(
            update={"id": entry[0].decode()}
        )
        for entry in reply
    ]
