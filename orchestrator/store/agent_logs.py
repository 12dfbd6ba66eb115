"""The output of one agent: a capped stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.models import LogLine
from orchestrator.store import keys
from orchestrator.store.events import field_of
from orchestrator.store.objects import PIECE_BYTES
from orchestrator.store.operations import Flow, Operation, call, command, parse_record

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
    documents = (
        line.model_dump_json(by_alias=True, exclude={"id"}, exclude_none=True) for line in lines
    )
    named = {"agent": keys.agent(agent_id), "log": keys.log(agent_id)}
    # A setting in bytes is a subclass of int, which the client does not send.
    return call("append_log", named, (attempt, cap, int(most_bytes), *documents), bool)


def append_lines(
    agent_id: str,
    attempt: int,
    lines: Iterable[LogLine],
    *,
    cap: int,
    most_bytes: int = DEFAULT_LOG_BYTES,
) -> Flow[bool]:
    """Append any number of lines as `append_log` does, in calls of limited size."""
    batch: list[LogLine] = []
    size = 0
    for line in lines:
        size_of_line = len(line.text.encode(errors="surrogatepass"))
        if batch and size + size_of_line > PIECE_BYTES // 2:
            # Half of it, since quoting as JSON makes lines longer.
            is_ours: bool = yield append_log(
                agent_id, attempt, batch, cap=cap, most_bytes=most_bytes
            )
            if not is_ours:
                return False
            batch, size = [], 0
        batch.append(line)
        size += size_of_line
    return bool((yield append_log(agent_id, attempt, batch, cap=cap, most_bytes=most_bytes)))


def read_log(agent_id: str, *, after: str = "", count: int = 500) -> Flow[list[LogLine]]:
    """Read lines of output after an id, oldest first; fewer than `count` only at the end."""
    return (yield from _read(keys.log(agent_id), "XRANGE", after or "-", count))


def last_line(agent_id: str) -> Operation[LogLine | None]:
    """Read the newest line of output; None where there is none."""
    key = keys.log(agent_id)
    return command(
        *("XREVRANGE", key, "+", "-", "COUNT", 1),
        decode=lambda reply: _lines(key, reply)[0] if reply else None,
    )


def last_lines(agent_id: str, count: int) -> Flow[tuple[LogLine, ...]]:
    """Read the newest lines of output, oldest first."""
    newest_first = yield from _read(keys.log(agent_id), "XREVRANGE", "+", count)
    return tuple(reversed(newest_first))


def _read(key: str, name: str, after: str, count: int) -> Flow[list[LogLine]]:
    lines: list[LogLine] = []
    while len(lines) < count:
        arguments = (name, after, count - len(lines), PIECE_BYTES)
        is_end, *entries = yield call("read_log", {"log": key}, arguments, list)
        lines += _lines(key, [(name, _fields(flat)) for name, flat in entries])
        if is_end:
            break
        after = lines[-1].id
    return lines


def _fields(flat: list[bytes]) -> dict[bytes, bytes]:
    """Return the fields of an entry that a script read."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _lines(key: str, reply: list[Any]) -> list[LogLine]:
    return [
        parse_record(LogLine, key, field_of(key, entry, b"line")).model_copy(
            update={"id": entry[0].decode()}
        )
        for entry in reply
    ]
