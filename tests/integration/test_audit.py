"""The audit on a real Valkey: one chain whoever writes at once, and no change of it goes unseen."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from orchestrator.audit.log import Audit, read_entries
from orchestrator.control.submit import SubmitService
from orchestrator.errors import AuditBroken, IdempotencyConflict
from orchestrator.models import AuditAction, AuditFault, AuditMark
from orchestrator.settings import load_settings
from orchestrator.signing import signing_key
from orchestrator.store import keys
from orchestrator.store.audit import Answer
from orchestrator.store.client import AsyncStore
from orchestrator.wiring import clock, new_id

KEY = b"k" * 32
SIGNING_KEY = "s" * 40
ROOT = Path(__file__).parents[2]


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


def test_writers_at_once_make_one_unbroken_chain(store, audit):
    def write(thread):
        for n in range(25):
            store.follow(audit.append([note(f"{thread}-{n}")]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    verdict = store.follow(audit.verify())
    assert (verdict.intact, verdict.entries) == (True, 200), verdict
    entries = store.follow(read_entries(limit=1000))
    assert [entry.seq for entry in entries] == list(range(1, 201))
    assert {entry.agent_id for entry in entries} == {
        f"{t}-{n}" for t in range(8) for n in range(25)
    }


def test_a_batch_stands_together_in_its_order_however_long(store, audit):
    store.follow(audit.append([note("before")]))
    written = store.follow(audit.append([note(f"a-{n}") for n in range(1203)]))
    assert store.follow(audit.append([])) == ()
    verdict = store.follow(audit.verify())
    assert (verdict.intact, verdict.entries) == (True, 1204)
    entries = store.follow(read_entries(limit=1203))
    assert [(e.seq, e.agent_id) for e in entries] == [(e.seq, e.agent_id) for e in written]
    assert store.follow(read_entries(limit=2, agent_id="a-0")) == (entries[0],)


def test_appending_goes_on_while_the_chain_is_checked(store, audit):
    flow = audit.verify()
    operation = next(flow)
    verdict = None
    while verdict is None:
        reply = store.run(operation)
        if sum(1 for _ in store.follow(read_entries(limit=9))) < 9:
            store.follow(audit.append([note()]))
        try:
            operation = flow.send(reply)
        except StopIteration as end:
            verdict = end.value
    assert verdict.intact
    assert verdict.entries >= 2


def test_both_executors_write_and_check_the_same_chain(valkey_url, store, audit):
    async def use():
        opened = AsyncStore(valkey_url)
        try:
            await opened.follow(audit.append([note()]))
            return await opened.follow(audit.verify())
        finally:
            await opened.close()

    store.follow(audit.append([note()]))
    assert asyncio.run(use()).entries == 2


def until_append(store, flow):
    """The head and what waits are read: give the operation that appends."""
    return flow.send(store.run(flow.send(store.run(next(flow)))))


def test_an_append_sent_twice_stands_once(store, audit):
    """As after a lost reply; another's entry has come in meanwhile."""
    flow = audit.append([note("twice"), note("twice")])
    append = until_append(store, flow)
    assert store.run(append)[0] is Answer.APPENDED
    store.follow(audit.append([note("other")]))
    with suppress(StopIteration):
        flow.send(store.run(append))
        pytest.fail("it was appended again")
    agents = [entry.agent_id for entry in store.follow(read_entries(limit=9))]
    assert agents == ["twice", "twice", "other"]


def test_twins_of_one_instant_are_both_kept(store):
    """Two terminals that say the same in the same millisecond did it twice."""
    now = clock()
    one, other = (Audit(KEY, lambda: now, new_id).append([note()]) for _ in range(2))
    appends = [until_append(store, flow) for flow in (one, other)]
    assert store.run(appends[0])[0] is Answer.APPENDED
    late = store.run(appends[1])
    assert late[0] is Answer.LATE
    waiting = other.send(late)
    with suppress(StopIteration):
        other.send(store.run(other.send(store.run(waiting))))
    assert len(store.follow(read_entries(limit=9))) == 2


BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


def reported(store):
    entries = store.follow(read_entries(limit=1000))
    return [(entry.action, entry.who, entry.agent_id) for entry in entries]


def test_a_spawn_is_noted_with_its_registration_and_once(store, client, audit):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    for _ in range(2):
        first = store.run(door.submit(BODY, agent_id="a-1", by="ann"))
        second = store.run(door.submit(BODY, agent_id="a-2", idempotency_key="k", by="bob"))
        assert (first.agent_id, second.agent_id) == ("a-1", "a-2")
    with pytest.raises(IdempotencyConflict):
        store.run(door.submit({**BODY, "priority": 9}, idempotency_key="k", by="bob"))
    # What is told later comes behind it in the chain.
    store.follow(audit.append([note("a-1")]))
    assert reported(store) == [
        ("spawn", "ann", "a-1"),
        ("spawn", "bob", "a-2"),
        ("kill", "ann", "a-1"),
    ]
    (spawned, *_) = store.follow(read_entries(limit=9))
    assert (spawned.task_id, spawned.scope) == ("t-1", "/srv/git/x.git main")
    store.follow(audit.append_waiting())
    assert store.follow(audit.verify()).entries == 3
    assert not client.exists(keys.AUDIT_WAITING)


def test_what_waits_is_taken_in_once_and_in_its_order_whoever_does(store, client, audit):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)

    def work(thread):
        for n in range(20):
            store.run(door.submit(BODY, agent_id=f"{thread}-{n}", by="ann"))
            store.follow(audit.append_waiting())
            store.follow(audit.append([note(f"{thread}-{n}")]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    verdict = store.follow(audit.verify())
    assert (verdict.intact, verdict.entries) == (True, 320), verdict
    by_agent = defaultdict(list)
    for action, _, agent_id in reported(store):
        by_agent[agent_id].append(action)
    assert len(by_agent) == 160
    assert all(actions == ["spawn", "kill"] for actions in by_agent.values())
    assert not client.exists(keys.AUDIT_WAITING)


def test_a_draft_that_is_none_is_kept_as_such_and_keeps_nobody_out(store, client, audit):
    client.rpush(keys.AUDIT_WAITING, b"\xff{")
    store.follow(audit.append_waiting())
    (entry,) = store.follow(read_entries(limit=9))
    assert (entry.action, entry.why) == ("unreadable", "\ufffd{")
    assert store.follow(audit.verify()).intact


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


@pytest.fixture
def orch(valkey_url, tmp_path):
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "VALKEY_URL": valkey_url,
        "ORCHESTRATOR_HOME": str(tmp_path / "home"),
        "ORCHESTRATOR_SIGNING_KEY": SIGNING_KEY,
    }

    def run(*arguments, code=0, **environ):
        given = {name: value for name, value in (env | environ).items() if value is not None}
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", "audit", *arguments],
            env=given, cwd=tmp_path, capture_output=True, text=True, timeout=150,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def written(store, tmp_path):
    settings = load_settings(
        {"ORCHESTRATOR_HOME": str(tmp_path), "ORCHESTRATOR_SIGNING_KEY": SIGNING_KEY}
    )
    audit = Audit(signing_key(settings, "audit"), clock, new_id)
    hostile = note("a-1", why="\x1b[2Jred\u202e\n2  forged", before="running", result="dead")
    halt = AuditAction(action="halt", who="bob", why="quota", scope="all")
    return store.follow(audit.append([hostile, halt]))


def test_the_list_shows_the_newest_last_and_a_reason_stays_on_its_line(orch, written):
    header, first, second = orch().stdout.splitlines()
    assert header.split() == ["SEQ", "TIME", "ACTION", "WHO", "ON", "BEFORE", "RESULT", "WHY"]
    assert first.split(maxsplit=3)[3] == "kill    ann  a-1  running  dead    red 2 forged"
    assert second.split()[3:] == ["halt", "bob", "all", "-", "-", "quota"]
    assert orch("--limit", "1").stdout.split()[8:] == second.split()
    assert orch("--agent", "a-1").stdout.splitlines()[1].split() == first.split()
    (entry,) = json.loads(orch("--agent", "a-1", "--json").stdout)["entries"]
    assert entry == written[0].wire()


def test_a_list_needs_no_key_and_makes_none(orch, written, tmp_path):
    orch(ORCHESTRATOR_SIGNING_KEY=None)
    assert not (tmp_path / "home" / "signing.key").exists()


def test_a_check_prints_the_head_and_takes_it_back(orch, written, store, client):
    first, second = orch("--verify").stdout.splitlines()
    assert first == "intact: 2 entries"
    noted = second.rpartition(" ")[2]
    reported = json.loads(orch("--verify", "--expect", noted, "--json").stdout)
    assert reported["head"] == {"seq": 2, "mac": noted.partition(":")[2]}
    assert AuditMark.model_validate(reported["head"])
    assert "intact" in orch("--verify", "--expect", noted).stdout
    client.delete(keys.AUDIT, keys.AUDIT_HEAD)
    assert orch("--verify").stdout == "intact: 0 entries\n"
    assert "(set-back)" in orch("--verify", "--expect", noted, code=1).stderr


def test_a_check_that_fails_names_the_entry(orch, written, client):
    client.xdel(keys.AUDIT, "1-0")
    failed = orch("--verify", code=1)
    assert failed.stdout == ""
    assert "(dropped): entry 1 is missing" in failed.stderr
    reported = json.loads(orch("--verify", "--json", code=1).stdout)
    assert (reported["intact"], reported["fault"], reported["seq"]) == (False, "dropped", 1)
    assert "(other-key)" in orch("--verify", code=1, ORCHESTRATOR_SIGNING_KEY="o" * 40).stderr


@pytest.mark.parametrize(
    "arguments", [("--verify", "--expect", "2"), ("--expect", "1:" + "a" * 64)]
)
def test_a_mark_that_could_not_be_held_to_is_refused(orch, arguments):
    orch(*arguments, code=2)
