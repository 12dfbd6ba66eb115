"""The one-time logins in Valkey, by the digest of their code. They lapse."""

from __future__ import annotations

from orchestrator.models import Login
from orchestrator.store import keys
from orchestrator.store.operations import Operation, command, nothing, parse_record


def put(digest: str, login: Login, *, for_s: int) -> Operation[None]:
    """Store a login for a time."""
    document = login.model_dump_json(by_alias=True)
    return command("SET", keys.login(digest), document, "EX", for_s, decode=nothing)


def claim(digest: str) -> Operation[Login | None]:
    """Remove a login and return it; None if there is none. Of several calls one gets it."""
    key = keys.login(digest)
    return command("GETDEL", key, decode=lambda reply: reply and parse_record(Login, key, reply))
