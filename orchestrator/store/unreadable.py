"""List entries that no worker could read: kept, a limited number of them, for a person to see."""

from __future__ import annotations

import json
from datetime import datetime

from orchestrator.models.record import iso_instant
from orchestrator.store import keys
from orchestrator.store.operations import Flow, command, nothing

#: The newest are kept, and of each so much.
MOST_KEPT, MOST_BYTES = 100, 64 * 1024


def set_aside(queue: str, item: bytes, reason: str, *, now: datetime) -> Flow[None]:
    """Keep an entry of a queue that is none, with the reason."""
    document = json.dumps(
        {
            "at": iso_instant(now),
            "queue": queue,
            "reason": reason[:1000],
            "size": len(item),
            "item": item[:MOST_BYTES].decode(errors="replace"),
        }
    )
    yield command("LPUSH", keys.UNREADABLE, document, decode=nothing)
    yield command("LTRIM", keys.UNREADABLE, 0, MOST_KEPT - 1, decode=nothing)
