"""The records of the audit: what was done by whom, the head of its chain, what a check found."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints

from orchestrator.models.record import Instant, Record


def _capped(limit: int) -> BeforeValidator:
    # Cut, not refused: who stops an agent must not be stopped by the length of the reason.
    def cut(value: object) -> object:
        if not isinstance(value, str):
            return value
        # A byte of the command line that is no UTF-8 arrives as a lone surrogate.
        return value.encode(errors="replace").decode()[:limit]

    return BeforeValidator(cut)


_Name = Annotated[str, _capped(200)]
_Text = Annotated[str, _capped(1000)]


class AuditAction(Record):
    """What somebody did, as the room that did it tells the audit; all but `action` is data."""

    action: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    who: _Name
    why: _Text
    agent_id: _Name | None = None
    task_id: _Name | None = None
    #: What it reached, where that was no single agent.
    scope: _Name | None = None
    #: The state before.
    before: _Name | None = None
    result: _Text | None = None


class AuditDraft(AuditAction):
    """A note with its time, which has no place in the chain yet."""

    #: Sets it apart from a twin of the same instant, so that none is taken for the other.
    id: str
    at: Instant


class AuditEntry(AuditDraft):
    """A note in its place in the chain."""

    seq: Annotated[int, Field(ge=1)]


class AuditMark(Record):
    """A place in the chain: all entries up to it are what this one MAC says they are."""

    seq: Annotated[int, Field(ge=1)]
    mac: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac}"


class AuditHead(AuditMark):
    """The last place of the chain, sealed: none but a holder of the key can make one."""

    seal: str


class AuditFault(StrEnum):
    """What is wrong with the chain."""

    EDITED = "edited"
    DROPPED = "dropped"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    HEAD = "head"
    OTHER_KEY = "other-key"
    SET_BACK = "set-back"


class AuditVerdict(Record):
    """What a check of the chain found."""

    intact: bool
    #: Entries that hold, counted from the first up to the fault.
    entries: int
    #: The end of an intact chain: note it elsewhere, and a later check can be held to it.
    head: AuditMark | None = None
    fault: AuditFault | None = None
    #: The first entry that is not what or where it was.
    seq: int | None = None
    detail: str = ""

    @classmethod
    def faulty(cls, fault: AuditFault, detail: str, *, entries: int, seq: int | None) -> Self:
        """Make the verdict on a chain that does not hold."""
        return cls(intact=False, entries=entries, fault=fault, seq=seq, detail=detail)
