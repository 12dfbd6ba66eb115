"""The audit log: appends entries to a chain that reveals later changes, and reads them.

Each entry's MAC is HMAC-SHA256(key, MAC of the entry before (hex, none for the first) + the
entry's bytes). The head is sealed with HMAC-SHA256(key, "head:SEQ:MAC"). The key is never stored
in Valkey: an attacker with access to Valkey alone can break the chain but not forge it.

A check cannot detect three things: a stream and a head that were both reset to an earlier time,
the removal of both, and entries that a holder of the key wrote. To detect the first two, store
the head that `verify` returns elsewhere, and pass it to a later check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from pydantic import ValidationError

from orchestrator.audit.chain import canonical, link_mac, open_head, parse_entry, sealed_head
from orchestrator.audit.verify import ChainWalk
from orchestrator.errors import AuditBroken, AuditBusy, OrchestratorError
from orchestrator.log import get_logger
from orchestrator.models import (
    AuditAction,
    AuditDraft,
    AuditEntry,
    AuditMark,
    AuditVerdict,
)
from orchestrator.store import audit as stored
from orchestrator.store.audit import Answer
from orchestrator.store.operations import Flow

#: Entries of one call; the limit bounds the time that a script blocks Valkey.
_BATCH = 100
#: An attempt fails only if another process appended entries first.
_TRIES = 1000

log = get_logger("audit")


class Audit:
    """Appends to the chain and checks it with one key."""

    def __init__(
        self, key: bytes, clock: Callable[[], datetime], new_id: Callable[[], str]
    ) -> None:
        self._key = key
        self._clock = clock
        self._new_id = new_id

    def append(self, notes: Sequence[AuditAction]) -> Flow[tuple[AuditEntry, ...]]:
        """Append actions in order; each batch of 100 is appended as a whole or not at all.

        Raises:
            AuditBroken: no head of this key exists; the actions themselves are not undone.
            AuditBusy: other processes appended first at every attempt.
        """
        entries: list[AuditEntry] = []
        for start in range(0, len(notes), _BATCH):
            entries += yield from self._append(notes[start : start + _BATCH])
        return tuple(entries)

    def report(self, notes: Sequence[AuditAction]) -> Flow[None]:
        """Append actions that are already done; log them if the chain refuses them.

        A broken audit must not prevent a kill, and a kill must not go unrecorded.
        """
        try:
            yield from self.append(notes)
        except OrchestratorError as error:
            log.exception(
                "not in the audit", error=str(error), notes=[note.wire() for note in notes]
            )

    def append_waiting(self) -> Flow[None]:
        """Append the drafts that scripts wrote to the waiting list together with their changes.

        Raises as `append` does.
        """
        while (yield stored.read_waiting(1)):
            yield from self._append(())

    def _append(self, notes: Sequence[AuditAction]) -> Flow[list[AuditEntry]]:
        now = self._clock()
        own = [AuditDraft(**note.model_dump(), id=self._new_id(), at=now) for note in notes]
        known = yield stored.read_head()
        for _ in range(_TRIES):
            seq, mac = self._end(known)
            # Read after the head: an append by another process then shows as a changed head.
            waiting = yield stored.read_waiting(_BATCH)
            drafts = [*(self._draft(document) for document in waiting), *own]
            entries = [
                AuditEntry(seq=seq + place, **draft.model_dump())
                for place, draft in enumerate(drafts, start=1)
            ]
            if not entries:
                return []
            links: list[tuple[bytes, bytes]] = []
            for entry in entries:
                document = canonical(entry)
                mac = link_mac(self._key, mac, document)
                links.append((document, mac))
            head = sealed_head(self._key, entries[-1].seq, mac)
            about = [entry.agent_id for entry in entries if entry.agent_id]
            answer, known = yield stored.append(
                known, head, seq + 1, links, len(waiting), agent_ids=about
            )
            if answer is Answer.APPENDED:
                return entries[len(waiting) :]
            if answer is Answer.BROKEN:
                msg = f"{stored.STREAM} goes on behind its head: someone else wrote to it."
                raise AuditBroken(msg)
        raise AuditBusy

    def _draft(self, document: bytes) -> AuditDraft:
        try:
            return AuditDraft.model_validate_json(document)
        except ValidationError:
            # A malformed draft must not block other drafts and must not be dropped.
            text = document.decode(errors="replace")
            return AuditDraft(
                action="unreadable", who="", why=text, id=self._new_id(), at=self._clock()
            )

    def _end(self, head: bytes) -> tuple[int, bytes]:
        if not head:
            return 0, b""
        # A foreign head must not be sealed: later checks would accept it as ours.
        mark = open_head(self._key, head)
        if mark is None:
            msg = (
                f"{stored.HEAD} is not sealed with this system's key: it was changed, or"
                " ORCHESTRATOR_SIGNING_KEY is not the one it was written with."
            )
            raise AuditBroken(msg)
        return mark.seq, mark.mac.encode()

    def verify(self, pinned: AuditMark | None = None) -> Flow[AuditVerdict]:
        """Recompute the chain from the first entry to the head; appends may continue meanwhile.

        `pinned` is a head that was stored elsewhere: it must be part of the chain. Without it, a
        stream and a head that were both reset to an earlier time, or both removed, look intact.
        """
        walk = ChainWalk(self._key, pinned)
        while True:
            # In this order: the stream may be ahead of this head, but never behind it.
            head = yield stored.read_head()
            links = yield stored.read_after(walk.at, _BATCH)
            if not links:
                return walk.end(head)
            for link in links:
                walk.step(link)


def read_entries(
    *, limit: int, agent_id: str = "", since: datetime | None = None, before_seq: int = 0
) -> Flow[tuple[AuditEntry, ...]]:
    """Read the last entries, of one agent if `agent_id` is given, newest last; checks no MAC.

    Entries before `since` are left out, and with `before_seq` this one and those after it.

    Raises:
        AuditBroken: an entry cannot be parsed.
    """
    found: list[AuditEntry] = []
    before = ""
    while len(found) < limit:
        links = yield stored.read_before(before, _BATCH if agent_id else min(limit, _BATCH))
        if not links:
            break
        entries = [parse_entry(link) for link in links]
        found += [
            entry
            for entry in entries
            if agent_id in {"", entry.agent_id} and (not before_seq or entry.seq < before_seq)
        ]
        if since is not None and entries[-1].at < since:
            break
        before = links[-1].id
    return tuple(reversed(found[:limit]))
