"""The audit in Valkey: a stream that is only appended to, and beside it the head of its chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command

#: What errors call the stream and its head.
STREAM, HEAD = keys.AUDIT, keys.AUDIT_HEAD


@dataclass(frozen=True)
class Link:
    """An entry as it stands in the stream: its bytes, and the MAC that chains them."""

    id: str
    document: bytes
    mac: bytes


def link_id(seq: int) -> str:
    """Return the id an entry has in the stream: its place."""
    return f"{seq}-0"


def read_head() -> Operation[bytes]:
    """Read the head's bytes; empty where there is none."""
    return command("GET", keys.AUDIT_HEAD, decode=lambda reply: reply or b"")


def read_waiting(count: int) -> Operation[list[bytes]]:
    """Read the oldest drafts that wait for their place in the chain."""
    return command("LRANGE", keys.AUDIT_WAITING, 0, count - 1, decode=list)


class Answer(StrEnum):
    """What became of an append."""

    APPENDED = "appended"
    #: Another got in between: nothing was written.
    LATE = "late"
    #: The stream goes on behind its head: nothing was written.
    BROKEN = "broken"


def append(
    expected: bytes,
    head: bytes,
    first_seq: int,
    links: Sequence[tuple[bytes, bytes]],
    taken: int,
    *,
    agent_ids: Sequence[str],
) -> Operation[tuple[Answer, bytes]]:
    """Append entries with their MACs, and set the head; all or nothing, and safe to send twice.

    `agent_ids` names the agents of the entries that have one, in their order. The first `taken`
    of the entries were the oldest drafts that waited. Returns the answer with the head there is
    when it was late, else with the given one.
    """

    def decode(reply: list[bytes]) -> tuple[Answer, bytes]:
        answer = Answer(reply[0].decode())
        return answer, reply[1] if answer is Answer.LATE else head

    parts = (part for link in links for part in link)
    return call(
        "append_audit",
        {
            "audit": keys.AUDIT,
            "head": keys.AUDIT_HEAD,
            "waiting": keys.AUDIT_WAITING,
            "trails": tuple(map(keys.trail, agent_ids)),
        },
        (expected, head, first_seq, taken, *parts),
        decode,
    )


def read_after(link: str, count: int) -> Operation[list[Link]]:
    """Read entries behind an id ('' for the first), oldest first."""
    start = f"({link}" if link else "-"
    return command("XRANGE", keys.AUDIT, start, "+", "COUNT", count, decode=_links)


def read_before(link: str, count: int) -> Operation[list[Link]]:
    """Read entries before an id ('' for the last), newest first."""
    end = f"({link}" if link else "+"
    return command("XREVRANGE", keys.AUDIT, end, "-", "COUNT", count, decode=_links)


def _links(reply: list[Any]) -> list[Link]:
    # What lacks a field was not written by us; the chain finds it, so that reading need not.
    return [
        Link(name.decode(), fields.get(b"entry", b""), fields.get(b"mac", b""))
        for name, fields in reply
    ]
