"""The two streams: lifecycle events of the whole system, output of one agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.errors import RecordMalformed
from orchestrator.models import LifecycleEvent
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command, parse_record

#: Events kept for replay; an event is about 300 bytes.
EVENTS_CAP = 100_000
FIRST_ID = "-"


@dataclass(frozen=True)
class StreamedEvent:
    """An event and its id in the stream."""

    id: str
    event: LifecycleEvent


def read_events(*, after: str, count: int = 500) -> Operation[list[StreamedEvent]]:
    """Read events after an id, oldest first."""
    return command("XRANGE", keys.EVENTS_STREAM, f"({after}", "+", "COUNT", count, decode=_events)


@dataclass(frozen=True)
class StoredEvent:
    """An event's id and its JSON as it stands in the stream."""

    id: str
    document: str


def read_stored(*, after: str, upto: str = "+", count: int = 500) -> Operation[list[StoredEvent]]:
    """Read events after an id, up to another, oldest first, without parsing them."""
    return command("XRANGE", keys.EVENTS_STREAM, f"({after}", upto, "COUNT", count, decode=_stored)


#: Events that one call of the script looks at: it delays other clients for about 2 ms.
_LOOKED_AT = 2_000


def events_with(text: str, *, after: str, upto: str) -> Operation[tuple[str, list[StoredEvent]]]:
    """Read those of the next events, up to an id, whose JSON contains a text, as it stands there.

    Returns with them the id to go on from, which is empty at the end.
    """

    def decode(reply: list[bytes]) -> tuple[str, list[StoredEvent]]:
        last, *found = (part.decode(errors="replace") for part in reply)
        pairs = zip(found[::2], found[1::2], strict=True)
        return last, [StoredEvent(name, document) for name, document in pairs]

    arguments = (text, after, upto, _LOOKED_AT)
    return call("events_with", {"stream": keys.EVENTS_STREAM}, arguments, decode)


def await_stored(*, after: str, block_ms: int, count: int = 500) -> Operation[list[StoredEvent]]:
    """Wait for events after an id; `block_ms` must stay below the executors' socket timeout."""
    return command(
        *("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", keys.EVENTS_STREAM, after),
        decode=lambda reply: _stored(reply[0][1]) if reply else [],
        blocks_s=block_ms / 1000,
    )


def first_event_id() -> Operation[str]:
    """Return the id of the oldest event that is kept; empty where there is none."""
    return command(
        *("XRANGE", keys.EVENTS_STREAM, "-", "+", "COUNT", 1),
        decode=lambda reply: reply[0][0].decode() if reply else "",
    )


def is_whole() -> Operation[bool]:
    """Return whether no event of the stream was ever removed; the stream must exist."""

    def decode(reply: list[Any]) -> bool:
        facts = dict(zip(reply[::2], reply[1::2], strict=True))
        return bool(facts[b"entries-added"] == facts[b"length"])

    return command("XINFO", "STREAM", keys.EVENTS_STREAM, decode=decode)


def has_event(event_id: str) -> Operation[bool]:
    """Return whether an event is still kept."""
    return command("XRANGE", keys.EVENTS_STREAM, event_id, event_id, decode=bool)


def last_event_id() -> Operation[str]:
    """Return the id of the newest event, from which a follower starts."""
    return command(
        "XREVRANGE",
        keys.EVENTS_STREAM,
        "+",
        "-",
        "COUNT",
        1,
        decode=lambda reply: reply[0][0].decode() if reply else "0-0",
    )


def wait_for_event(after: str, *, block_ms: int) -> Operation[bool]:
    """Wait for an event after an id; False when time is up.

    `block_ms` must stay below the executors' socket timeout.
    """
    return _wait_for({keys.EVENTS_STREAM: after}, block_ms)


def wait_for_agent(agent_id: str, *, log_id: str, event_id: str, block_ms: int) -> Operation[bool]:
    """Wait for output of an agent after an id, or for an event of any; False when time is up.

    `block_ms` must stay below the executors' socket timeout.
    """
    return _wait_for({keys.log(agent_id): log_id, keys.EVENTS_STREAM: event_id}, block_ms)


def _wait_for(after: dict[str, str], block_ms: int) -> Operation[bool]:
    return command(
        "XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", *after.keys(), *after.values(),
        decode=bool, blocks_s=block_ms / 1000,
    )  # fmt: skip


def _events(reply: list[Any]) -> list[StreamedEvent]:
    key = keys.EVENTS_STREAM
    return [
        StreamedEvent(
            entry[0].decode(), parse_record(LifecycleEvent, key, field_of(key, entry, b"event"))
        )
        for entry in reply
    ]


def _stored(reply: list[Any]) -> list[StoredEvent]:
    return [
        StoredEvent(name.decode(), fields.get(b"event", b"{}").decode(errors="replace"))
        for name, fields in reply
    ]


def field_of(key: str, entry: Any, name: bytes) -> bytes:
    """Return one field of a stream entry; raises RecordMalformed if it has none."""
    value = entry[1].get(name)
    if value is None:
        msg = f"{key}: entry {entry[0].decode()} has no field {name.decode()}."
        raise RecordMalformed(msg)
    return bytes(value)
