"""A `claude_agent_sdk.SessionStore` on Valkey, by structure: the SDK is optional, not imported."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict

from orchestrator.errors import RecordMalformed
from orchestrator.store import sessions
from orchestrator.store.async_client import AsyncStore


class SubkeysKey(TypedDict):
    """What the SDK lists subkeys of."""

    project_key: str
    session_id: str


class SessionKey(SubkeysKey):
    """How the SDK names a transcript."""

    subpath: NotRequired[str]


class ListedSession(TypedDict):
    """What the SDK lists; `mtime` in ms since 1970."""

    session_id: str
    mtime: int


def _now() -> datetime:
    return datetime.now(UTC)


class ValkeySessionStore:
    """A `claude_agent_sdk.SessionStore` on Valkey; its entries are JSON documents."""

    def __init__(self, store: AsyncStore, *, clock: Callable[[], datetime] = _now) -> None:
        self._store = store
        self._clock = clock

    async def append(self, key: SessionKey, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append a batch of entries; one whose uuid is there already is left out."""
        texts = [json.dumps(entry) for entry in entries]
        await self._store.follow(sessions.append(_transcript(key), texts, now=self._clock()))

    async def load(self, key: SessionKey) -> list[dict[str, Any]] | None:
        """Return a transcript's entries; None where there is none.

        Raises:
            RecordMalformed: an entry is no JSON object.
        """
        transcript = _transcript(key)
        entries = await self._store.follow(sessions.load(transcript))
        return [_document(transcript.keys[0], entry) for entry in entries] or None

    async def list_sessions(self, project_key: str) -> list[ListedSession]:
        """Return the sessions of a project."""
        listed = await self._store.run(sessions.list_sessions(project_key))
        return [{"session_id": session, "mtime": instant} for session, instant in listed.items()]

    async def list_subkeys(self, key: SubkeysKey) -> list[str]:
        """Return the subpaths of a session."""
        subpaths = await self._store.run(
            sessions.list_subpaths(key["project_key"], key["session_id"])
        )
        return list(subpaths)

    async def delete(self, key: SessionKey) -> None:
        """Remove a transcript, a main one with all its subpaths."""
        await self._store.follow(sessions.delete(_transcript(key)))


def _transcript(key: SessionKey) -> sessions.SessionTranscript:
    return sessions.SessionTranscript(key["project_key"], key["session_id"], key.get("subpath", ""))


def _document(key: str, entry: str) -> dict[str, Any]:
    try:
        document = json.loads(entry)
    except (ValueError, RecursionError) as error:
        msg = f"{key}: an entry is not JSON."
        raise RecordMalformed(msg) from error
    if not isinstance(document, dict):
        msg = f"{key}: an entry is not a JSON object."
        raise RecordMalformed(msg)
    return document
