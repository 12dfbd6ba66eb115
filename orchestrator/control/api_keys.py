"""API keys: their creation, check, revocation and rate limits; Valkey stores them.

Valkey stores the SHA-256 of a token. A slow hash would only slow down a dictionary attack, and
no dictionary contains 256 random bits, so it would only cost time in each request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.audit.log import Audit
from orchestrator.errors import KeyExists, KeyRefused, KeyUnknown, RateLimited
from orchestrator.models import ApiKey, AuditAction, Caller, KeyScope
from orchestrator.store import api_keys as stored
from orchestrator.store import rate_limits
from orchestrator.store.api_keys import StoredKey
from orchestrator.store.operations import Flow

#: The name of the settings' key in the audit.
SETTINGS_KEY = "ORCHESTRATOR_API_KEY"
#: A key's last use is recorded at most once in this time.
NOTED_EVERY = timedelta(minutes=1)
#: The limit of one key's reads: far above normal use, low enough to stop a faulty client.
READS_A_MINUTE = 6000
#: Requests of these scopes are never refused for their number.
UNLIMITED = frozenset({KeyScope.KILL, KeyScope.OPERATE})
_PREFIX = "orch_"


@dataclass(frozen=True)
class ApiKeys:
    """The keys of this system: the key of the settings, and the keys in Valkey."""

    audit: Audit
    clock: Callable[[], datetime]
    settings_key: bytes | None = None
    spawns_a_minute: int = 0
    #: Whether requests need a key even if none was ever created.
    always_asks: bool = False
    #: When this process last recorded a key's use, by digest, since a name can be used again.
    noted: dict[str, datetime] = field(default_factory=dict)

    def add(
        self,
        name: str,
        scopes: Sequence[KeyScope],
        *,
        by: str,
        why: str = "",
        expires_at: datetime | None = None,
    ) -> Flow[str]:
        """Create a key and append to the audit; return the token, which is not stored.

        Raises:
            KeyExists: a key with this name exists.
        """
        token = _PREFIX + secrets.token_urlsafe(32)
        key = StoredKey(
            name=name,
            scopes=tuple(sorted(set(scopes))),
            created_at=self.clock(),
            created_by=by,
            expires_at=expires_at,
            digest=digest_of(token.encode()),
        )
        if not (yield stored.add_key(key)):
            msg = f"There is a key {name} already."
            raise KeyExists(msg)
        scope = f"key {name} ({', '.join(key.scopes)})"
        yield from self.audit.append([AuditAction(action="add-key", who=by, why=why, scope=scope)])
        return token

    def revoke(self, name: str, *, by: str, why: str) -> Flow[None]:
        """Revoke a key at once and append to the audit.

        After the last key is revoked, every request is refused until a key is created.

        Raises:
            KeyUnknown: no key has this name.
        """
        if not (yield stored.revoke_key(name)):
            msg = f"There is no key {name}."
            raise KeyUnknown(msg)
        note = AuditAction(action="revoke-key", who=by, why=why, scope=f"key {name}")
        yield from self.audit.append([note])

    def identify(self, token: bytes, *, client: str) -> Flow[Caller]:
        """Return the caller with this token; record the use of the key.

        If no key was ever created and `always_asks` is false, every caller has all scopes.

        Raises:
            KeyRefused: the token is no valid key, or the key has expired.
        """
        if self.settings_key is not None and hmac.compare_digest(token, self.settings_key):
            return Caller(name=SETTINGS_KEY, scopes=frozenset(KeyScope), has_key=True)
        if not (token or (yield from self.is_required())):
            # The usual answer of a system without keys, by one read.
            return _anyone(client)
        known: tuple[StoredKey, ...] = yield stored.stored_keys()
        digest = digest_of(token).encode()
        now = self.clock()
        for key in known:
            if hmac.compare_digest(digest, key.digest.encode()):
                if key.expires_at is not None and key.expires_at <= now:
                    msg = f"The key {key.name} has expired."
                    raise KeyRefused(msg)
                yield from self._record_use(key, now)
                return Caller(name=key.name, scopes=frozenset(key.scopes), has_key=True)
        if known or self.settings_key is not None:
            raise KeyRefused
        # If the last key was revoked, requests still need a key.
        if (yield from self.is_required()):
            msg = "There is no key at all, and this server asks for one."
            raise KeyRefused(msg)
        return _anyone(client)

    def is_required(self) -> Flow[bool]:
        """Return whether requests need a key."""
        has_to = self.settings_key is not None or self.always_asks
        return has_to or (yield stored.was_given())

    def admit(self, caller: Caller, scope: KeyScope, *, is_spawn: bool) -> Flow[None]:
        """Count a request against the rate limit of its key; kills and halts have no limit.

        Raises:
            RateLimited: the key has no request left; `retry_after_s` is the time to wait.
        """
        if not caller.has_key or scope in UNLIMITED:
            return
        a_minute = self.spawns_a_minute if is_spawn else READS_A_MINUTE
        if not a_minute:
            return
        kind = "spawn" if is_spawn else "read"
        wait_ms: int = yield rate_limits.consume(kind, caller.name, a_minute=a_minute)
        if wait_ms:
            msg = f"The key {caller.name} may {kind} {a_minute} times a minute."
            raise RateLimited(msg, retry_after_s=-(-wait_ms // 1000))

    def _record_use(self, key: StoredKey, now: datetime) -> Flow[None]:
        noted = self.noted.get(key.digest)
        if noted is not None and now - noted < NOTED_EVERY:
            return
        self.noted[key.digest] = now
        yield stored.record_use(key.name, now=now)


def read_keys() -> Flow[tuple[ApiKey, ...]]:
    """Read all keys in Valkey, without their digests, sorted by name."""
    known: tuple[StoredKey, ...] = yield stored.stored_keys()
    used: dict[str, datetime] = yield stored.last_uses()
    return tuple(
        ApiKey(
            **key.model_dump(exclude={"digest", "last_used_at"}), last_used_at=used.get(key.name)
        )
        for key in sorted(known, key=lambda key: key.name)
    )


def _anyone(client: str) -> Caller:
    return Caller(name=f"HTTP {client}", scopes=frozenset(KeyScope), has_key=False)


def digest_of(token: bytes) -> str:
    """Return what Valkey stores of a token."""
    return hashlib.sha256(token).hexdigest()
