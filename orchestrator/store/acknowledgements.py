"""The acknowledgements in Valkey: who has seen why an agent needs attention. They lapse."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.models.attention import Acknowledgement
from orchestrator.store import keys
from orchestrator.store.operations import Operation, command, nothing, read_records


def put(agent_id: str, acknowledgement: Acknowledgement, *, for_s: float) -> Operation[None]:
    """Store the acknowledgement of an agent for a time; it replaces an earlier one."""
    document = acknowledgement.model_dump_json(by_alias=True, exclude_none=True)
    lifetime_ms = max(round(for_s * 1000), 1)
    return command(
        "SET", keys.acknowledgement(agent_id), document, "PX", lifetime_ms, decode=nothing
    )


def find_each(agent_ids: Sequence[str]) -> Operation[tuple[Acknowledgement | None, ...]]:
    """Read the acknowledgements of some agents; None where there is none that can be read."""
    return read_records(Acknowledgement, tuple(map(keys.acknowledgement, agent_ids)))


def drop(agent_id: str) -> Operation[bool]:
    """Remove the acknowledgement of an agent; return whether there was one."""
    return command("DEL", keys.acknowledgement(agent_id), decode=bool)
