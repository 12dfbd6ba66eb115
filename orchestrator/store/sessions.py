"""Agents' session transcripts, by which a round goes on where the one before it ended.

Kept as the Claude Agent SDK's session stores keep them: entries are opaque JSON, filed under a
project, a session and, for subagents, a subpath. The SDK itself is optional and not imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.store import keys
from orchestrator.store.objects import PIECE_BYTES
from orchestrator.store.operations import Flow, Operation, call, command

#: Subpath → entries as JSON texts; the session's main transcript has the subpath "".
Session = Mapping[str, Sequence[str]]

#: Items in one call, so that a long session never holds the server up; nor do more bytes than
#: `PIECE_BYTES`. An entry is one item, or several if it is larger.
_BATCH = 500
#: Characters of one item; none of them takes more than four bytes.
_ITEM_CHARACTERS = PIECE_BYTES // 4
#: The first character of an item that is a part of an entry: one that goes on, and its last one.
_MORE, _LAST = "\x01", "\x02"


@dataclass(frozen=True)
class SessionTranscript:
    """Which transcript: a session's main one, or with a subpath one of its subagents'."""

    project: str
    session: str
    subpath: str = ""

    @property
    def keys(self) -> tuple[str, str]:
        """What holds it."""
        names = (self.project, self.session, self.subpath)
        return keys.session_transcript(*names), keys.session_uuids(*names)

    @property
    def mark(self) -> str:
        """What says which entries of it are kept, where it is kept as a whole."""
        return keys.session_mark(self.project, self.session, self.subpath)

    @property
    def index(self) -> tuple[str, str]:
        """Which index lists it, and as what."""
        if self.subpath:
            return keys.session_subpaths(self.project, self.session), self.subpath
        return keys.sessions(self.project), self.session


# ── operations ──────────────────────────────────────────────────────────────────────────────


def append(transcript: SessionTranscript, entries: Sequence[str], *, now: datetime) -> Flow[int]:
    """Append entries; those whose uuid the transcript holds are left out, so it can be repeated.

    An entry goes in one call, however large: the SDK may write one transcript from several places.
    """
    appended = 0
    for at, upto in _batches(entries, 0):
        appended += yield _append(transcript, entries[at:upto], now=now)
    return appended


def _append(
    transcript: SessionTranscript, entries: Sequence[str], *, now: datetime
) -> Operation[int]:
    index, member = transcript.index
    pairs = (part for entry in entries for part in (_uuid(entry), entry))
    now_ms = int(now.timestamp() * 1000)
    held, uuids = transcript.keys
    named = {"transcript": held, "uuids": uuids, "index": index}
    return call("append_session", named, (member, now_ms, *pairs), int)


def load(transcript: SessionTranscript) -> Flow[tuple[str, ...]]:
    """Read a transcript, oldest entry first; empty where there is none.

    Reads in calls of limited size. An entry whose last part is absent is left out.
    """
    items: list[str] = []
    while found := (yield _read_items(transcript, len(items))):
        items += found
    entries, begun = [], ""
    for item in items:
        if item.startswith(_MORE):
            begun += item[1:]
        elif item.startswith(_LAST):
            entries.append(begun + item[1:])
            begun = ""
        else:
            entries.append(item)
            begun = ""
    return tuple(entries)


def _read_items(transcript: SessionTranscript, first: int) -> Operation[tuple[str, ...]]:
    named = {"transcript": transcript.keys[0]}
    return call(
        *("read_transcript", named, (first, PIECE_BYTES)),
        lambda reply: tuple(item.decode() for item in reply),
    )


def _items(entries: Sequence[str]) -> Iterator[str]:
    """Yield the entries as items of a transcript: large ones, and ambiguous ones, in parts."""
    for entry in entries:
        if len(entry) <= _ITEM_CHARACTERS and not entry.startswith((_MORE, _LAST)):
            yield entry
            continue
        last = (len(entry) - 1) // _ITEM_CHARACTERS
        for number in range(last + 1):
            at = number * _ITEM_CHARACTERS
            part = entry[at : at + _ITEM_CHARACTERS]
            yield f"{_LAST if number == last else _MORE}{part}"


def _batches(items: Sequence[str], at: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the end position of each call's items, from position `at`."""
    while at < len(items):
        upto, size = at, 0
        while upto < min(at + _BATCH, len(items)):
            size += len(items[upto].encode(errors="surrogatepass"))
            if size > PIECE_BYTES and upto > at:
                break
            upto += 1
        yield at, upto
        at = upto


def list_sessions(project: str) -> Operation[dict[str, int]]:
    """Return the sessions of a project → the instant (ms) each was last appended to."""
    return command(
        *("ZRANGE", keys.sessions(project), 0, -1, "WITHSCORES"),
        decode=lambda reply: {
            session.decode(): int(instant)
            for session, instant in zip(reply[::2], reply[1::2], strict=True)
        },
    )


def list_subpaths(project: str, session: str) -> Operation[tuple[str, ...]]:
    """Return the subpaths of a session's further transcripts."""
    key = keys.session_subpaths(project, session)
    return command(
        "ZRANGE", key, 0, -1, decode=lambda reply: tuple(subpath.decode() for subpath in reply)
    )


def delete(transcript: SessionTranscript) -> Flow[int]:
    """Remove a transcript, a main one with the whole session; returns the number of keys."""
    index, member = transcript.index
    names = [*transcript.keys, transcript.mark]
    if not transcript.subpath:
        subpaths = yield list_subpaths(transcript.project, transcript.session)
        for subpath in subpaths:
            below = SessionTranscript(transcript.project, transcript.session, subpath)
            names += [*below.keys, below.mark]
        names.append(keys.session_subpaths(transcript.project, transcript.session))
    removed: int = yield call("drop_session", {"index": index, "parts": names}, (member,), int)
    return removed


# ── the session of one attempt ──────────────────────────────────────────────────────────────


def keep_session(
    agent_id: str, attempt: int, session_id: str, session: Session, *, now: datetime
) -> Flow[None]:
    """Keep the session as this attempt left it; as with its change, no other attempt's goes.

    What was kept of it before is not sent again: most entries of a session file have no uuid by
    which they could be told apart, and the file only grows. One that was written anew is kept anew.
    """
    for subpath, entries in session.items():
        transcript = SessionTranscript(_project(agent_id, attempt), session_id, subpath)
        items = tuple(_items(entries))
        positions = _positions(items)
        before = yield _mark(transcript)
        at = positions.index(before) if before in positions else 0
        while at < len(items):
            _, upto = next(_batches(items, at))
            batch = items[at:upto]
            is_kept = yield _keep(transcript, batch, positions[at], positions[upto], now=now)
            # Another has written meanwhile, who can only be a stale one: from the beginning.
            at = upto if is_kept else 0


def _keep(
    transcript: SessionTranscript, entries: Sequence[str], before: str, after: str, *, now: datetime
) -> Operation[bool]:
    index, member = transcript.index
    now_ms = int(now.timestamp() * 1000)
    named = {"transcript": transcript.keys[0], "mark": transcript.mark, "index": index}
    return call("keep_session", named, (member, now_ms, before, after, *entries), bool)


def _mark(transcript: SessionTranscript) -> Operation[str]:
    return command("GET", transcript.mark, decode=lambda reply: (reply or b"").decode())


def _positions(entries: Sequence[str]) -> list[str]:
    """Return the positions after the first 0, 1, 2 … entries; the mark of none is empty."""
    digest, positions = hashlib.sha256(), [""]
    for count, entry in enumerate(entries, 1):
        text = entry.encode(errors="surrogatepass")
        digest.update(b"%d:" % len(text) + text)
        positions.append(f"{count}:{digest.copy().hexdigest()}")
    return positions


def recall_session(agent_id: str, attempt: int, session_id: str) -> Flow[Session]:
    """Read the session as an attempt left it; empty if it left none."""
    project = _project(agent_id, attempt)
    subpaths = yield list_subpaths(project, session_id)
    session: dict[str, Sequence[str]] = {}
    for subpath in ("", *subpaths):
        entries = yield from load(SessionTranscript(project, session_id, subpath))
        if entries:
            session[subpath] = entries
    return session


def drop_sessions(agent_id: str, attempts: int) -> Flow[int]:
    """Remove the sessions of every attempt; returns how many there were."""
    dropped = 0
    for attempt in range(1, attempts + 1):
        project = _project(agent_id, attempt)
        sessions = yield list_sessions(project)
        for session_id in sessions:
            yield from delete(SessionTranscript(project, session_id))
        dropped += len(sessions)
    return dropped


def _project(agent_id: str, attempt: int) -> str:
    # The agent names its session, so the session's id must not be what keeps agents apart.
    return f"{agent_id}:{attempt}"


def _uuid(entry: str) -> str:
    try:
        document = json.loads(entry)
    except (ValueError, RecursionError):
        return ""
    uuid = document.get("uuid") if isinstance(document, dict) else None
    return uuid if isinstance(uuid, str) else ""
