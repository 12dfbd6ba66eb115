"""The audit: who did what to which agent, in a chain that shows what was changed afterwards.

Each entry's MAC is HMAC-SHA256(key, MAC of the entry before (hex, none for the first) + the
entry's bytes); the head is sealed with HMAC-SHA256(key, "head:SEQ:MAC"). The key never goes into
Valkey, so who holds Valkey alone can break the chain but not mend it.

What a check cannot show: the stream and the head both set back to what they were at an earlier
time, the two of them removed altogether, and whatever a holder of the key wrote. For the first
two, note the head that `verify` gives somewhere else, and hold a later check to it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from datetime import datetime

from pydantic import ValidationError

from orchestrator.errors import AuditBroken, AuditBusy, OrchestratorError
from orchestrator.log import get_logger
from orchestrator.models import (
    AuditDraft,
    AuditEntry,
    AuditFault,
    AuditHead,
    AuditMark,
    AuditNote,
    AuditVerdict,
    faults_of,
)
from orchestrator.store import audit as stored
from orchestrator.store import keys
from orchestrator.store.audit import Answer, Link
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

    def append(self, notes: Sequence[AuditNote]) -> Flow[tuple[AuditEntry, ...]]:
        """Append notes in their order; each 500 of them stand together, or not at all.

        Raises:
            AuditBroken: there is no head of this key to chain them to; what was done stays done.
            AuditBusy: others were always faster.
        """
        entries: list[AuditEntry] = []
        for start in range(0, len(notes), _BATCH):
            entries += yield from self._append(notes[start : start + _BATCH])
        return tuple(entries)

    def tell(self, notes: Sequence[AuditNote]) -> Flow[None]:
        """Append notes of what is done already; a chain that takes none is logged, with them.

        It must not keep anybody from stopping an agent, nor hide that it was stopped.
        """
        try:
            yield from self.append(notes)
        except OrchestratorError as error:
            log.exception(
                "not in the audit", error=str(error), notes=[note.wire() for note in notes]
            )

    def take_in(self) -> Flow[None]:
        """Chain the drafts that were written together with what they tell of.

        Raises as `append` does.
        """
        while (yield stored.read_waiting(1)):
            yield from self._append(())

    def _append(self, notes: Sequence[AuditNote]) -> Flow[list[AuditEntry]]:
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
                document = _canonical(entry)
                mac = _link(self._key, mac, document)
                links.append((document, mac))
            head = _sealed(self._key, entries[-1].seq, mac)
            answer, known = yield stored.append(known, head, seq + 1, links, len(waiting))
            if answer is Answer.APPENDED:
                return entries[len(waiting) :]
            if answer is Answer.BROKEN:
                msg = f"{keys.AUDIT} goes on behind its head: someone else wrote to it."
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
        mark = _opened(self._key, head)
        if mark is None:
            msg = (
                f"{keys.AUDIT_HEAD} is not sealed with this system's key: it was changed, or"
                " ORCHESTRATOR_SIGNING_KEY is not the one it was written with."
            )
            raise AuditBroken(msg)
        return mark.seq, mark.mac.encode()

    def verify(self, pinned: AuditMark | None = None) -> Flow[AuditVerdict]:
        """Recompute the chain from the first entry to the head; appending may go on meanwhile.

        `pinned` is a head noted earlier, elsewhere: it must be part of the chain. Without one, a
        stream and a head both set back to an earlier time, or both gone, look intact.
        """
        walk = _Walk(self._key, pinned)
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
        entries = [_parse(link) for link in links]
        found += [entry for entry in entries if agent_id in {"", entry.agent_id}]
        if since is not None and entries[-1].at < since:
            break
        before = links[-1].id
    return tuple(reversed(found[:limit]))


class _Walk:
    """Goes along the chain, up to its end also behind the first fault: that tells its kind."""

    def __init__(self, key: bytes, pinned: AuditMark | None) -> None:
        self._key = key
        self._pinned = pinned
        self.at = ""
        self._before = b""  # the MAC of the entry before, as it stands there
        self._seq = 0  # the last entry that holds, and all before it
        self._has_our_mac = False
        self._fault: AuditVerdict | None = None

    def step(self, link: Link) -> None:
        mac = _link(self._key, self._before, link.document)
        is_ours = hmac.compare_digest(mac, link.mac)
        self._has_our_mac |= is_ours
        self._before = link.mac
        self.at = link.id
        expected = self._seq + 1
        seq = _seq_of(link)
        if self._fault is not None:
            if self._fault.fault is AuditFault.DROPPED and seq == expected:
                self._fail(AuditFault.REORDERED, f"entry {seq} no longer stands in its place")
        elif seq is not None and seq > expected:
            detail = f"entry {expected} is missing: entry {seq} stands in its place"
            self._fail(AuditFault.DROPPED, detail)
        elif seq is not None and seq < expected:
            detail = f"entry {seq} stands again where entry {expected} belongs"
            self._fail(AuditFault.REORDERED, detail)
        elif not is_ours or link.id != stored.link_id(expected):
            self._fail(AuditFault.EDITED, f"entry {expected} is not what was written")
        elif self._pinned and expected == self._pinned.seq and mac != self._pinned.mac.encode():
            detail = f"entry {expected} is not the one that was noted: the chain was written anew"
            self._fail(AuditFault.SET_BACK, detail)
        else:
            self._seq = expected

    def end(self, head: bytes) -> AuditVerdict:
        """Give the verdict, with the head as it stood when the last entry had been read."""
        mark = _opened(self._key, head)
        if self.at and head and mark is None and not self._has_our_mac:
            detail = (
                "nothing here was signed with this key: ORCHESTRATOR_SIGNING_KEY is not the one"
                " it was written with, or all of it was written by someone without the key"
            )
            return AuditVerdict.faulty(AuditFault.OTHER_KEY, detail, entries=0, seq=None)
        if self._fault is None:
            self._check_head(head, mark)
        if self._fault is None and self._pinned and self._pinned.seq > self._seq:
            detail = f"the chain ends at {self._seq}, and {self._pinned.seq} was noted before"
            self._fail(AuditFault.SET_BACK, detail)
        if self._fault is not None:
            return self._fault
        return AuditVerdict(intact=True, entries=self._seq, head=mark)

    def _check_head(self, head: bytes, mark: AuditMark | None) -> None:
        if not head and not self._seq:
            return
        if mark is None:
            what = "is not sealed with this key" if head else "is gone"
            detail = f"the head {what}: entries behind {self._seq} may be missing"
            self._fail(AuditFault.HEAD, detail)
        elif mark.seq > self._seq:
            last = "" if mark.seq == self._seq + 1 else f" to {mark.seq}"
            detail = f"the last entries are missing: {self._seq + 1}{last}"
            self._fail(AuditFault.TRUNCATED, detail)
        elif (mark.seq, mark.mac.encode()) != (self._seq, self._before):
            detail = f"the head stands at {mark.seq} of another time, the last entry is {self._seq}"
            self._fail(AuditFault.HEAD, detail)

    def _fail(self, fault: AuditFault, detail: str) -> None:
        seq = self._seq + 1
        self._fault = AuditVerdict.faulty(fault, detail, entries=self._seq, seq=seq)


def _canonical(record: AuditEntry | AuditHead) -> bytes:
    document = json.dumps(record.wire(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return document.encode()


def _link(key: bytes, before: bytes, document: bytes) -> bytes:
    return hmac.digest(key, before + document, "sha256").hex().encode()


def _seal(key: bytes, seq: int, mac: str) -> str:
    # No entry's message begins so: those begin with hex digits or a brace.
    return hmac.digest(key, f"head:{seq}:{mac}".encode(), "sha256").hex()


def _sealed(key: bytes, seq: int, mac: bytes) -> bytes:
    text = mac.decode()
    return _canonical(AuditHead(seq=seq, mac=text, seal=_seal(key, seq, text)))


def _opened(key: bytes, document: bytes) -> AuditMark | None:
    try:
        head = AuditHead.model_validate_json(document)
    except ValidationError:
        return None
    seal = _seal(key, head.seq, head.mac)
    if not hmac.compare_digest(seal.encode(), head.seal.encode()):
        return None
    return AuditMark(seq=head.seq, mac=head.mac)


def _parse(link: Link) -> AuditEntry:
    try:
        return AuditEntry.model_validate_json(link.document)
    except ValidationError as error:
        path, message = faults_of(error)[0]
        msg = f"{keys.AUDIT}: {link.id} is no entry ({path}: {message})."
        raise AuditBroken(msg) from error


def _seq_of(link: Link) -> int | None:
    try:
        return _parse(link).seq
    except AuditBroken:
        return None
