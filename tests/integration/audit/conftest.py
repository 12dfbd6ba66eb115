"""An audit chain on a real Valkey."""

from __future__ import annotations

import pytest
import redis

from orchestrator.audit.log import Audit
from orchestrator.models import AuditAction, AuditFault
from orchestrator.store import keys
from orchestrator.wiring import clock, new_id

KEY = b"k" * 32


def note(agent_id="a-1", **more):
    return AuditAction(
        **{"action": "kill", "who": "ann", "why": "it loops", **more}, agent_id=agent_id
    )


@pytest.fixture
def client(valkey_url):
    with redis.Redis.from_url(valkey_url) as connection:
        yield connection


@pytest.fixture
def audit():
    return Audit(KEY, clock, new_id)


@pytest.fixture
def chain(store, client, audit):
    """Six entries, and what it takes to rewrite them as someone who holds Valkey, not the key."""
    store.follow(audit.append([note(f"a-{n}") for n in range(1, 7)]))
    return Chain(client)


class Chain:
    """The stream in other hands."""

    def __init__(self, client):
        self.client = client

    def links(self):
        return self.client.xrange(keys.AUDIT)

    def write(self, links):
        self.client.delete(keys.AUDIT)
        for name, fields in links:
            self.client.xadd(keys.AUDIT, fields, name)

    def head(self):
        return self.client.get(keys.AUDIT_HEAD)


def change(links, at, field, old, new):
    fields = links[at][1]
    assert old in fields[field]
    fields[field] = fields[field].replace(old, new)
    return links


def swapped(links, one, other):
    """The contents of two entries exchanged; the ids stay in order, as a stream wants them."""
    links[one], links[other] = (
        (links[one][0], links[other][1]),
        (links[other][0], links[one][1]),
    )
    return links


def renumbered(links):
    """An entry taken out, and the ones behind it moved up as if it had never been."""
    kept = [fields for name, fields in links if name != b"3-0"]
    for n, fields in enumerate(kept, start=1):
        fields[b"entry"] = fields[b"entry"].replace(b'"seq":%d' % (n + 1), b'"seq":%d' % n)
    return [(b"%d-0" % n, fields) for n, fields in enumerate(kept, start=1)]


TAMPERINGS = {
    "a reason": (lambda x: change(x, 2, b"entry", b"loops", b"idles"), AuditFault.EDITED, 3),
    "a mac": (lambda x: change(x, 2, b"mac", x[2][1][b"mac"], b"a" * 64), AuditFault.EDITED, 3),
    "no field": (lambda x: [*x[:2], (x[2][0], {b"x": b"\xff"}), *x[3:]], AuditFault.EDITED, 3),
    "the first": (lambda x: change(x, 0, b"entry", b"ann", b"bob"), AuditFault.EDITED, 1),
    "another id": (lambda x: [*x[:5], (b"9-0", x[5][1])], AuditFault.EDITED, 6),
    "one dropped": (lambda x: x[:2] + x[3:], AuditFault.DROPPED, 3),
    "the first dropped": (lambda x: x[1:], AuditFault.DROPPED, 1),
    "dropped, renumbered": (renumbered, AuditFault.EDITED, 3),
    "two swapped": (lambda x: swapped(x, 2, 4), AuditFault.REORDERED, 3),
    "one repeated": (lambda x: [*x, (b"7-0", x[5][1])], AuditFault.REORDERED, 7),
    "last dropped": (lambda x: x[:4], AuditFault.TRUNCATED, 5),
    "all dropped": (lambda _: [], AuditFault.TRUNCATED, 1),
}
