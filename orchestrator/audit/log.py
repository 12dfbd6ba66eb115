"""The audit: who did what to which agent, in a chain that shows what was changed afterwards.

Each entry's MAC is HMAC-SHA256(key, MAC of the entry before (hex, none for the first) + the
entry's bytes); the head is sealed with HMAC-SHA256(key, "head:SEQ:MAC"). The key never goes into
Valkey, so who holds Valkey alone can break the chain but not mend it.

What a check cannot show: the stream and the head both set back to what they were at an earlier
time, the two of them removed altogether, and whatever a holder of the key wrote. For the first
two, note the head that `verify` gives somewhere else, and hold a later check to it.
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

#: Entries in one call, so that the server is never held up for long.
_BATCH = 500
#: Each try that comes late means that another's entries went in.
_TRIES = 1000

log = get_logger("audit")


class Audit:
    """Writes the chain and checks it, with the key that makes it one."""

    def __init__(
        self, key: bytes, clock: Callable[[], datetime], new_id: Callable[[], str]
    ) -> None:
        self._key = key
        self._clock = clock
        self._new_id = new_id

    def append(self, notes: Sequence[AuditAction]) -> Flow[tuple[AuditEntry, ...]]:
        """Append notes in their order; each 500 of them stand together, or not at all.

        Raises:
            AuditBroken: there is no head of this key to chain them to; what was done stays done.
            AuditBusy: others were always faster.
        """
        entries: list[AuditEntry] = []
        for start in range(0, len(notes), _BATCH):
            entries += yield from self._append(notes[start : start + _BATCH])
        return tuple(entries)

    def report(self, notes: Sequence[AuditAction]) -> Flow[None]:
        """Append notes of what is done already; a chain that takes none is logged, with them.

        It must not keep anybody from stopping an agent, nor hide that it was stopped.
        """
        try:
            yield from self.append(notes)
        except OrchestratorError as error:
            log.exception(
                "not in the audit", error=str(error), notes=[note.wire() for note in notes]
            )

    def append_waiting(self) -> Flow[None]:
        """Chain the drafts that were written together with what they tell of.

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
            # After the head: what another has taken in meanwhile shows in that.
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
            answer, known = yield stored.append(known, head, seq + 1, links, len(waiting))
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
            # Whoever wrote it: it must not keep others out, nor vanish.
            text = document.decode(errors="replace")
            return AuditDraft(
                action="unreadable", who="", why=text, id=self._new_id(), at=self._clock()
            )

    def _end(self, head: bytes) -> tuple[int, bytes]:
        if not head:
            return 0, b""
        # One that is not ours must not be signed over: it would pass for ours from then on.
        mark = open_head(self._key, head)
        if mark is None:
            msg = (
                f"{stored.HEAD} is not sealed with this system's key: it was changed, or"
                " ORCHESTRATOR_SIGNING_KEY is not the one it was written with."
            )
            raise AuditBroken(msg)
        return mark.seq, mark.mac.encode()

    def verify(self, pinned: AuditMark | None = None) -> Flow[AuditVerdict]:
        """Recompute the chain from the first entry to the head; appending may go on meanwhile.

        `pinned` is a head noted earlier, elsewhere: it must be part of the chain. Without one, a
        stream and a head both set back to an earlier time, or both gone, look intact.
        """
        walk = ChainWalk(self._key, pinned)
        while True:
            # In this order: the stream may be ahead of this head, never behind it.
            head = yield stored.read_head()
            links = yield stored.read_after(walk.at, _BATCH)
            if not links:
                return walk.end(head)
            for link in links:
                walk.step(link)


def read_entries(
    *, limit: int, agent_id: str = "", since: datetime | None = None
) -> Flow[tuple[AuditEntry, ...]]:
    """Read the last entries, of one agent if one is named, newest last; it checks no MAC.

    `since` ends the look back: older entries are of no interest.

    Raises:
        AuditBroken: one of them cannot be read.
    """
    found: list[AuditEntry] = []
    before = ""
    while len(found) < limit:
        links = yield stored.read_before(before, _BATCH if agent_id else min(limit, _BATCH))
        if not links:
            break
        entries = [parse_entry(link) for link in links]
        found += [entry for entry in entries if agent_id in {"", entry.agent_id}]
        if since is not None and entries[-1].at < since:
            break
        before = links[-1].id
    return tuple(reversed(found[:limit]))
