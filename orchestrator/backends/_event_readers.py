"""Reads the events of a line by a table of readers; no line is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from orchestrator.backends._fields import Fields
from orchestrator.backends._json_lines import parts
from orchestrator.interfaces.agent import Signal
from orchestrator.interfaces.signals import Foreign
from orchestrator.models.text import storable

#: Reads one kind of event, whose fields may be of any type.
Reader = Callable[[Fields], Iterable[Signal]]

#: Several programs choose such ids for sessions; no other form may become an argument or a path.
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ignored(part: dict[str, Any]) -> Iterable[Signal]:
    """Return no signal for an event of an unknown type."""
    del part
    return ()


def read_events(
    line: bytes,
    readers: Mapping[str, Reader],
    unknown: Callable[[dict[str, Any]], Iterable[Signal]] = ignored,
) -> tuple[Signal, ...]:
    """Read one line, which may contain any number of events; `readers` is by their type.

    Text that is no event is returned as foreign. A field with a wrong type is reported after the
    signals of its event.
    """
    return tuple(_signals(line, readers, unknown))


def _signals(
    line: bytes,
    readers: Mapping[str, Reader],
    unknown: Callable[[dict[str, Any]], Iterable[Signal]],
) -> Iterator[Signal]:
    for part in parts(line):
        if isinstance(part, Foreign):
            yield Foreign(part.kind, storable(part.text), part.is_open, part.is_damaged)
        elif reader := readers.get(str(part["type"])):
            fields = Fields.of(part)
            yield from reader(fields)
            yield from fields.refused
        else:
            yield from unknown(part)
