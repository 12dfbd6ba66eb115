"""The records of access: scopes, keys, one-time logins, and the caller of a request."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from orchestrator.models.record import Instant, Record

#: A key's name; the audit records it as the actor.
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class KeyScope(StrEnum):
    """A permission of a key; no scope implies another."""

    READ = "read"
    SPAWN = "spawn"
    KILL = "kill"
    #: Halt, resume, and changes of the limits.
    OPERATE = "operate"
    #: Reading the audit, and what fsck finds.
    AUDIT = "audit"


class ApiKey(Record):
    """A key without its secret."""

    name: KeyName
    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1)]
    created_at: Instant
    created_by: str
    expires_at: Instant | None = None
    #: Accurate to the minute.
    last_used_at: Instant | None = None


class Login(Record):
    """A one-time login that was not used yet: what the key of its browser will be."""

    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1)]
    created_by: str
    #: How long the key is valid, from the login on.
    expires_s: Annotated[float, Field(gt=0)]


class Caller(Record):
    """The caller of a request: a key's name, or the client's address while no key is required."""

    name: str
    scopes: frozenset[KeyScope]
    #: Whether the rate limits of a key apply to the caller's requests.
    has_key: bool
