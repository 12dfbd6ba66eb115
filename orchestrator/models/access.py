"""The records of access: what a key may do, a key as it is kept, who asks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from orchestrator.models.record import Instant, Record

#: A key's name: it stands in the audit as who did something.
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class KeyScope(StrEnum):
    """What a key may do; none of them implies another."""

    READ = "read"
    SPAWN = "spawn"
    KILL = "kill"


class ApiKey(Record):
    """A key without its secret."""

    name: KeyName
    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1)]
    created_at: Instant
    created_by: str
    expires_at: Instant | None = None
    #: To the minute.
    last_used_at: Instant | None = None


class Caller(Record):
    """Who asks: a key's name, or where the request came from while no key is asked for."""

    name: str
    scopes: frozenset[KeyScope]
    #: Whether requests count against the limits of a key.
    has_key: bool
