"""The audit's records and the rules of its chain, without a server."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from orchestrator.audit.log import Audit
from orchestrator.errors import AuditBroken, AuditBusy
from orchestrator.models import AuditAction, AuditHead, AuditMark
from orchestrator.store.audit import Answer

KEY = b"k" * 32
NOTE = AuditAction(action="kill", who="ann", why="it loops", agent_id="a-1", before="running")


def audit():
    return Audit(KEY, lambda: datetime(2026, 1, 2, tzinfo=UTC), lambda: "id-1")


def mac_of(message: bytes) -> str:
    return hmac.new(KEY, message, hashlib.sha256).hexdigest()


def test_the_chain_can_be_recomputed_by_anyone_with_the_key():
    """This is the format: whoever changes it can no longer check what stands."""
    flow = audit().append([NOTE, NOTE])
    next(flow)
    flow.send(b"")
    append = flow.send([])
    first, mac_1, second, mac_2 = append.arguments[10:]
    assert first == (
        b'{"action":"kill","agentId":"a-1","at":"2026-01-02T00:00:00.000Z","before":"running",'
        b'"id":"id-1","seq":1,"who":"ann","why":"it loops"}'
    )
    assert mac_1.decode() == mac_of(first)
    assert mac_2.decode() == mac_of(mac_1 + second)
    head = AuditHead.model_validate_json(append.arguments[7])
    assert (head.seq, head.mac) == (2, mac_2.decode())
    assert head.seal == mac_of(b"head:2:" + mac_2)


def test_a_long_or_broken_reason_is_cut_and_never_refused():
    note = AuditAction(action="kill", who="\udcff" + "w" * 300, why="y" * 5000)
    assert note.who == "?" + "w" * 199
    assert note.why == "y" * 1000


@pytest.mark.parametrize("action", ["", "Kill", "kill all", "kill\n", "x" * 65])
def test_an_action_is_a_plain_name(action):
    with pytest.raises(ValidationError):
        AuditAction(action=action, who="ann", why="")


def test_a_mark_is_printed_as_it_is_asked_for():
    assert str(AuditMark(seq=3, mac="a" * 64)) == "3:" + "a" * 64


def test_an_append_that_always_comes_late_ends():
    others = audit().append([NOTE])
    next(others)
    others.send(b"")
    head = others.send([]).arguments[6]
    flow = audit().append([NOTE])
    next(flow)
    flow.send(head)
    with pytest.raises(AuditBusy):  # noqa: PT012 - it is the last answer that ends it
        for _ in range(2000):
            flow.send([])
            flow.send((Answer.LATE, head))


@pytest.mark.parametrize("head", [b"{}", b"\xff", b'{"seq":1,"mac":"%s","seal":"x"}' % (b"a" * 64)])
def test_nothing_is_chained_to_a_head_without_our_seal(head):
    """It would be sealed by us from then on, and hide what was cut off."""
    flow = audit().append([NOTE])
    next(flow)
    with pytest.raises(AuditBroken, match="not sealed with this system's key"):
        flow.send(head)
