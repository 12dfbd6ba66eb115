"""One-time logins: a short-lived code that a browser exchanges for an API key of its own.

Valkey stores the SHA-256 of a code. A code has 256 random bits, so that guesses need no limit.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.control.api_keys import ApiKeys, digest_of
from orchestrator.errors import LoginRefused
from orchestrator.models import AuditAction, KeyScope, Login
from orchestrator.store import api_keys as stored_keys
from orchestrator.store import logins as stored
from orchestrator.store.operations import Flow

#: How long a code is valid.
LIFE_S = 300
#: The names of browsers' keys begin with it.
PREFIX = "browser-"
#: Of the 64 characters of a key's name, those that remain for its creator.
_CREATOR = 47


@dataclass(frozen=True)
class Logins:
    """The one-time logins of this system."""

    api_keys: ApiKeys

    def create(self, scopes: Sequence[KeyScope], *, by: str, expires_s: float) -> Flow[str]:
        """Create a login for a key of these scopes; return the code, which is not stored."""
        code = secrets.token_urlsafe(32)
        login = Login(scopes=tuple(sorted(set(scopes))), created_by=by, expires_s=expires_s)
        yield stored.put(digest_of(code.encode()), login, for_s=LIFE_S)
        scope = f"login ({', '.join(login.scopes)})"
        action = AuditAction(action="add-login", who=by, why="", scope=scope)
        yield from self.api_keys.audit.append([action])
        return code

    def exchange(self, code: str, *, client: str) -> Flow[str | None]:
        """Use a login: return the token of a new key, or None if requests need no key.

        The key has the name of the login's creator, and expires.

        Raises:
            LoginRefused: the code is unknown, was used, or has expired.
        """
        # A first key would require one of every client from then on.
        if not (yield from self.api_keys.is_required()):
            return None
        login = yield stored.claim(digest_of(code.encode(errors="replace")))
        if login is None:
            raise LoginRefused
        yield from self._remove_expired()
        creator = re.sub(r"[^A-Za-z0-9._-]", "-", login.created_by)[:_CREATOR]
        token: str = yield from self.api_keys.add(
            f"{PREFIX}{creator}-{secrets.token_hex(4)}",
            login.scopes,
            by=login.created_by,
            why=f"login from {client}",
            expires_at=self.api_keys.clock() + timedelta(seconds=login.expires_s),
        )
        return token

    def _remove_expired(self) -> Flow[None]:
        now = self.api_keys.clock()
        for key in (yield stored_keys.stored_keys()):
            is_over = key.expires_at is not None and key.expires_at <= now
            if is_over and key.name.startswith(PREFIX):
                yield stored_keys.revoke_key(key.name)
