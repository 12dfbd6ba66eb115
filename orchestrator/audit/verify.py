"""Checks the audit's chain from its first entry to its head."""

from __future__ import annotations

import hmac

from orchestrator.audit.chain import link_mac, open_head, sequence_of
from orchestrator.models import (
    AuditFault,
    AuditMark,
    AuditVerdict,
)
from orchestrator.store import audit as stored
from orchestrator.store.audit import Link


class ChainWalk:
    """Checks entries in order; it continues after the first fault to determine its kind."""

    def __init__(self, key: bytes, pinned: AuditMark | None) -> None:
        self._key = key
        self._pinned = pinned
        self.at = ""
        self._before = b""  # the MAC of the previous entry, as it is stored
        self._seq = 0  # the number of the last valid entry
        self._has_our_mac = False
        self._fault: AuditVerdict | None = None

    def step(self, link: Link) -> None:
        """Check the next entry of the chain."""
        mac = link_mac(self._key, self._before, link.document)
        is_ours = hmac.compare_digest(mac, link.mac)
        self._has_our_mac |= is_ours
        self._before = link.mac
        self.at = link.id
        expected = self._seq + 1
        seq = sequence_of(link)
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
        """Return the verdict; `head` is the head as it was stored when the last entry was read."""
        mark = open_head(self._key, head)
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
