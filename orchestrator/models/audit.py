"""The records of the audit: actions, entries, the head of the chain, the result of a check."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints

from orchestrator.models.record import Instant, Record
from orchestrator.models.text import storable


def _capped(limit: int) -> BeforeValidator:
    # Cut, not refused: a long reason must not prevent a kill.
    def cut(value: object) -> object:
        if not isinstance(value, str):
            return value
        return storable(value)[:limit]

    return BeforeValidator(cut)


_Name = Annotated[str, _capped(200)]
_Text = Annotated[str, _capped(1000)]


class AuditAction(Record):
    """An action as its code reports it to the audit; every field but `action` is untrusted data."""

    action: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    who: _Name
    why: _Text
    agent_id: _Name | None = None
    task_id: _Name | None = None
    #: The scope of the action, if it did not concern exactly one agent.
    scope: _Name | None = None
    #: The agent's state before the action.
    before: _Name | None = None
    result: _Text | None = None


class AuditDraft(AuditAction):
    """An action with its time, not yet part of the chain."""

    #: Distinguishes two equal actions at the same instant.
    id: str
    at: Instant


class AuditEntry(AuditDraft):
    """An action with its position in the chain."""

    seq: Annotated[int, Field(ge=1)]


class AuditMark(Record):
    """A position in the chain: `mac` covers all entries up to `seq`."""

    seq: Annotated[int, Field(ge=1)]
    mac: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac}"


class AuditHead(AuditMark):
    """The last position of the chain, with a seal that only a holder of the key can make."""

    seal: str


class AuditFault(StrEnum):
    """The kind of a fault in the chain."""

    EDITED = "edited"
    DROPPED = "dropped"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    HEAD = "head"
    OTHER_KEY = "other-key"
    SET_BACK = "set-back"


class AuditVerdict(Record):
    """The result of a check of the chain."""

    intact: bool
    #: The number of valid entries from the first up to the fault.
    entries: int
    #: The end of an intact chain; a later check can be compared with a copy stored elsewhere.
    head: AuditMark | None = None
    fault: AuditFault | None = None
    #: The number of the first entry that was edited, removed or moved.
    seq: int | None = None
    detail: str = ""

    @classmethod
    def faulty(cls, fault: AuditFault, detail: str, *, entries: int, seq: int | None) -> Self:
        """Return the verdict on a chain that is not intact."""
        return cls(intact=False, entries=entries, fault=fault, seq=seq, detail=detail)
