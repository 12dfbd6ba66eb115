"""Keys: who may ask what; made, looked up, revoked and limited, in Valkey for every API process.

A token is 256 random bits, so its plain SHA-256 is enough at rest: there is no dictionary to try,
which is all that a slow hash would slow down, and each request would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.audit.log import Audit
from orchestrator.errors import KeyExists, KeyRefused, KeyUnknown, RateLimited
from orchestrator.models import ApiKey, AuditAction, Caller, KeyScope
from orchestrator.store import keys
from orchestrator.store.operations import (
    Flow,
    Operation,
    call,
    command,
    essential,
    nothing,
    parse_record,
)

#: What the audit calls the key of the settings.
SETTINGS_KEY = "ORCHESTRATOR_API_KEY"
#: A key's last use is noted once in this time.
NOTED_EVERY = timedelta(minutes=1)
#: Reads of one key: generous, and enough to stop a client that has lost its mind.
READS_A_MINUTE = 6000
_PREFIX = "orch_"


class StoredKey(ApiKey):
    """A key as it is kept: with the digest of its token, never the token."""

    digest: str


@dataclass(frozen=True)
class ApiKeys:
    """The keys of this system: that of the settings, and those in Valkey."""

    audit: Audit
    clock: Callable[[], datetime]
    settings_key: bytes | None = None
    spawns_a_minute: int = 0
    #: Whether a key is asked for before there is one.
    always_asks: bool = False
    #: When this process last noted a key's use, by digest: a name may be given again.
    noted: dict[str, datetime] = field(default_factory=dict)

    def add(
        self, name: str, scopes: Sequence[KeyScope], *, by: str, expires_at: datetime | None = None
    ) -> Flow[str]:
        """Make a key; returns its token, which nobody can read again.

        Raises:
            KeyExists: there is one of this name.
        """
        token = _PREFIX + secrets.token_urlsafe(32)
        key = StoredKey(
            name=name,
            scopes=tuple(sorted(set(scopes))),
            created_at=self.clock(),
            created_by=by,
            expires_at=expires_at,
            digest=_digest(token.encode()),
        )
        document = key.model_dump_json(by_alias=True, exclude_none=True)
        is_new = yield call("add_key", (keys.KEYS, keys.KEYS_ASKED), (name, document), bool)
        if not is_new:
            msg = f"There is a key {name} already."
            raise KeyExists(msg)
        scope = f"key {name} ({', '.join(key.scopes)})"
        yield from self.audit.append([AuditAction(action="add-key", who=by, why="", scope=scope)])
        return token

    def revoke(self, name: str, *, by: str, why: str) -> Flow[None]:
        """Let a key do nothing any more, from now on; after the last one nobody is let in.

        Raises:
            KeyUnknown: there is none of this name.
        """
        written = (keys.KEYS, keys.KEYS_USED, keys.KEYS_ASKED)
        if not (yield call("revoke_key", written, (name,), bool)):
            msg = f"There is no key {name}."
            raise KeyUnknown(msg)
        note = AuditAction(action="revoke-key", who=by, why=why, scope=f"key {name}")
        yield from self.audit.append([note])

    def identify(self, token: bytes, *, client: str) -> Flow[Caller]:
        """Return who holds this token; where there never was a key, everyone may do everything.

        Raises:
            KeyRefused: a key is asked for, and this is none, or has expired.
        """
        if self.settings_key is not None and hmac.compare_digest(token, self.settings_key):
            return Caller(name=SETTINGS_KEY, scopes=frozenset(KeyScope), has_key=True)
        stored: tuple[StoredKey, ...] = yield _stored()
        digest = _digest(token).encode()
        now = self.clock()
        for key in stored:
            if hmac.compare_digest(digest, key.digest.encode()):
                if key.expires_at is not None and key.expires_at <= now:
                    msg = f"The key {key.name} has expired."
                    raise KeyRefused(msg)
                yield from self._note(key, now)
                return Caller(name=key.name, scopes=frozenset(key.scopes), has_key=True)
        if stored or self.settings_key is not None:
            raise KeyRefused
        # None any more is not the same as none: the last one was revoked.
        if self.always_asks or (yield was_given()):
            msg = "There is no key at all, and this server asks for one."
            raise KeyRefused(msg)
        return Caller(name=f"HTTP {client}", scopes=frozenset(KeyScope), has_key=False)

    def admit(self, caller: Caller, scope: KeyScope, *, is_spawn: bool) -> Flow[None]:
        """Count a request against the limits of its key; what stops agents has none.

        Raises:
            RateLimited: it has asked too often.
        """
        if not caller.has_key or scope is KeyScope.KILL:
            return
        a_minute = self.spawns_a_minute if is_spawn else READS_A_MINUTE
        if not a_minute:
            return
        kind = "spawn" if is_spawn else "read"
        wait_ms: int = yield call(
            "rate_limit", (keys.limit(kind, caller.name),), (a_minute, 60_000), int
        )
        if wait_ms:
            msg = f"The key {caller.name} may {kind} {a_minute} times a minute."
            raise RateLimited(msg, retry_after_s=-(-wait_ms // 1000))

    def _note(self, key: StoredKey, now: datetime) -> Flow[None]:
        noted = self.noted.get(key.digest)
        if noted is not None and now - noted < NOTED_EVERY:
            return
        self.noted[key.digest] = now
        yield essential("HSET", keys.KEYS_USED, key.name, now.isoformat(), decode=nothing)


def was_given() -> Operation[bool]:
    """Tell whether there is a key in Valkey, or once was: then requests need one."""
    return command("EXISTS", keys.KEYS, keys.KEYS_ASKED, decode=bool)


def read_keys() -> Flow[tuple[ApiKey, ...]]:
    """Read every key in Valkey, without their digests, by name."""
    stored: tuple[StoredKey, ...] = yield _stored()
    used: dict[bytes, bytes] = yield command("HGETALL", keys.KEYS_USED, decode=dict)
    return tuple(
        ApiKey(
            **key.model_dump(exclude={"digest", "last_used_at"}),
            last_used_at=(instant := used.get(key.name.encode()))
            and datetime.fromisoformat(instant.decode()),
        )
        for key in sorted(stored, key=lambda key: key.name)
    )


def _stored() -> Operation[tuple[StoredKey, ...]]:
    def decode(reply: list[Any]) -> tuple[StoredKey, ...]:
        return tuple(parse_record(StoredKey, keys.KEYS, document) for document in reply)

    return command("HVALS", keys.KEYS, decode=decode)


def _digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()
