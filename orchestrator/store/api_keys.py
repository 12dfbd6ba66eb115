"""The API keys as they are stored: by name, with the digest of their token, and their last use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.models import ApiKey
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command, essential, nothing, parse_record


class StoredKey(ApiKey):
    """A key as it is kept: with the digest of its token, never the token."""

    digest: str


def add_key(key: StoredKey) -> Operation[bool]:
    """Add a key; False where there is one of its name, which stays."""
    document = key.model_dump_json(by_alias=True, exclude_none=True)
    named = {"keys": keys.KEYS, "asked": keys.KEYS_ASKED}
    return call("add_key", named, (key.name, document), bool)


def revoke_key(name: str) -> Operation[bool]:
    """Remove a key; False where there is none of this name."""
    named = {"keys": keys.KEYS, "used": keys.KEYS_USED, "asked": keys.KEYS_ASKED}
    return call("revoke_key", named, (name,), bool)


def stored_keys() -> Operation[tuple[StoredKey, ...]]:
    """Read every key.

    Raises:
        RecordMalformed: one of them is not what this version writes.
    """

    def decode(reply: list[Any]) -> tuple[StoredKey, ...]:
        return tuple(parse_record(StoredKey, keys.KEYS, document) for document in reply)

    return command("HVALS", keys.KEYS, decode=decode, is_shared=True)


def was_given() -> Operation[bool]:
    """Return whether there is a key, or once was: then requests need one."""
    return command("EXISTS", keys.KEYS, keys.KEYS_ASKED, decode=bool, is_shared=True)


def record_use(name: str, *, now: datetime) -> Operation[None]:
    """Record the last use of a key."""
    return essential("HSET", keys.KEYS_USED, name, now.isoformat(), decode=nothing)


def last_uses() -> Operation[dict[str, datetime]]:
    """Read when each key was last used, by its name."""

    def decode(reply: dict[bytes, bytes]) -> dict[str, datetime]:
        return {
            name.decode(): datetime.fromisoformat(instant.decode())
            for name, instant in reply.items()
        }

    return command("HGETALL", keys.KEYS_USED, decode=decode)
