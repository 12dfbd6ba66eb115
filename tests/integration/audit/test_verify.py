"""No change of the chain goes unseen."""

from __future__ import annotations

import json

import pytest

from orchestrator.audit.log import Audit, read_entries
from orchestrator.errors import AuditBroken
from orchestrator.models import AuditFault
from orchestrator.store import keys
from orchestrator.wiring import clock, new_id
from tests.integration.audit.conftest import TAMPERINGS, change, note


@pytest.mark.parametrize(("tamper", "fault", "seq"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_what_was_changed_is_found_and_named(store, chain, audit, tamper, fault, seq):
    links = tamper(chain.links())
    chain.write(links)
    verdict = store.follow(audit.verify())
    assert (verdict.intact, verdict.fault, verdict.seq) == (False, fault, seq), verdict
    assert verdict.entries == seq - 1
    assert verdict.head is None


def test_an_entry_forged_without_the_key_is_found(store, chain, client, audit):
    client.xadd(keys.AUDIT, chain.links()[0][1], "7-0")
    assert store.follow(audit.verify()).seq == 7

    def in_a_kill():
        try:
            yield from audit.append([note()])
        except AuditBroken as error:
            return str(error)

    # Raised inside the flow, where a kill can go on without it.
    assert "goes on behind its head" in store.follow(in_a_kill())


def test_cutting_the_tail_and_the_head_with_it_is_found_and_never_signed_over(
    store, chain, client, audit
):
    links, head = chain.links(), json.loads(chain.head())
    chain.write(links[:4])
    forged = {**head, "seq": 4, "mac": links[3][1][b"mac"].decode()}
    client.set(keys.AUDIT_HEAD, json.dumps(forged))
    assert store.follow(audit.verify()).fault is AuditFault.HEAD
    with pytest.raises(AuditBroken):
        store.follow(audit.append([note()]))
    client.delete(keys.AUDIT_HEAD)
    verdict = store.follow(audit.verify())
    assert (verdict.fault, verdict.entries) == (AuditFault.HEAD, 4)
    with pytest.raises(AuditBroken):
        store.follow(audit.append([note()]))
    assert len(chain.links()) == 4


def test_after_a_cut_tail_appending_goes_on_and_the_gap_stays_seen(store, chain, client, audit):
    client.xdel(keys.AUDIT, "6-0")
    store.follow(audit.append([note()]))
    verdict = store.follow(audit.verify())
    assert (verdict.fault, verdict.seq) == (AuditFault.DROPPED, 6)


def test_an_entry_that_cannot_be_read_is_named(store, chain, client):
    client.xadd(keys.AUDIT, {"x": "y"})
    with pytest.raises(AuditBroken, match=r"-0 is no entry.*--verify"):
        store.follow(read_entries(limit=1))


def test_a_head_set_back_alone_is_found(store, chain, client, audit):
    head = chain.head()
    store.follow(audit.append([note()]))
    client.set(keys.AUDIT_HEAD, head)
    assert store.follow(audit.verify()).fault is AuditFault.HEAD


def test_stream_and_head_set_back_together_are_seen_only_by_who_kept_the_head(
    store, chain, client, audit
):
    links, head = chain.links(), chain.head()
    then = store.follow(audit.verify()).head
    store.follow(audit.append([note()]))
    noted = store.follow(audit.verify(then)).head
    assert noted.seq == 7
    chain.write(links)
    client.set(keys.AUDIT_HEAD, head)
    assert store.follow(audit.verify()).intact
    assert store.follow(audit.verify(noted)).fault is AuditFault.SET_BACK
    store.follow(audit.append([note("another seventh")]))
    verdict = store.follow(audit.verify(noted))
    assert (verdict.fault, verdict.seq) == (AuditFault.SET_BACK, 7)
    client.delete(keys.AUDIT, keys.AUDIT_HEAD)
    assert store.follow(audit.verify()).intact
    assert store.follow(audit.verify(noted)).fault is AuditFault.SET_BACK


def test_another_key_is_told_from_tampering(store, chain):
    other = Audit(b"o" * 32, clock, new_id)
    assert store.follow(other.verify()).fault is AuditFault.OTHER_KEY
    with pytest.raises(AuditBroken, match="ORCHESTRATOR_SIGNING_KEY"):
        store.follow(other.append([note()]))
    chain.write(change(chain.links(), 0, b"mac", chain.links()[0][1][b"mac"], b""))
    assert store.follow(other.verify()).fault is AuditFault.OTHER_KEY
