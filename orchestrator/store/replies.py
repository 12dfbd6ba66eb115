"""The shapes in which the decoders read replies: dicts of hashes and stream entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Entry = tuple[bytes, dict[bytes, bytes]]


def shaped(command: object, reply: Any) -> Any:
    """Return the reply to a command as the redis library gives it, which the HTTP API uses."""
    shape = _SHAPES.get(command)
    return reply if shape is None or reply is None else shape(reply)


def _pairs(reply: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _entries(reply: list[Any]) -> list[Entry]:
    return [(name, _pairs(fields)) for name, fields in reply]


def _streams(reply: list[Any]) -> list[tuple[bytes, list[Entry]]]:
    return [(name, _entries(entries)) for name, entries in reply]


def _scanned(reply: list[Any]) -> tuple[int, dict[bytes, bytes]]:
    cursor, pairs = reply
    return int(cursor), _pairs(pairs)


def _ranked(reply: list[Any]) -> tuple[int, list[tuple[bytes, bytes]]]:
    cursor, pairs = reply
    return int(cursor), list(zip(pairs[::2], pairs[1::2], strict=True))


def _facts(reply: bytes) -> dict[str, object]:
    """Parse the `name:value` lines of INFO; comments and blank lines are left out."""
    lines = reply.decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: _value(value) for name, colon, value in pairs if colon}


def _value(text: str) -> object:
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


_SHAPES: dict[object, Callable[[Any], Any]] = {
    "HGETALL": _pairs,
    "HSCAN": _scanned,
    "INFO": _facts,
    "XRANGE": _entries,
    "XREAD": _streams,
    "XREVRANGE": _entries,
    "ZSCAN": _ranked,
}
