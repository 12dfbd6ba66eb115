"""Reads outlines of agents: what kills and retention must know, whoever wrote the record."""

from __future__ import annotations

from pydantic import ValidationError

from orchestrator.models import PartialRecord
from orchestrator.store import keys
from orchestrator.store.operations import Operation, command


def read_partial_records(*agent_ids: str) -> Operation[tuple[PartialRecord | None, ...]]:
    """Read the outlines of these agents; None where there is no record."""

    def decode(replies: list[bytes | None]) -> tuple[PartialRecord | None, ...]:
        return tuple(
            None if reply is None else partial_record(agent_id, reply)
            for agent_id, reply in zip(agent_ids, replies, strict=True)
        )

    return command("MGET", *map(keys.agent, agent_ids), decode=decode)


def partial_record(agent_id: str, document: bytes) -> PartialRecord:
    """Take the outline out of a record; no more than the id of one that is quite unreadable."""
    try:
        return PartialRecord.model_validate_json(document)
    except ValidationError:
        return PartialRecord(agent_id=agent_id)
