"""The kill switch on a real Valkey: nothing that stands there keeps it from the other agents."""

from __future__ import annotations

import json

import pytest

from orchestrator.audit.log import read_entries
from orchestrator.errors import RecordMalformed
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import KillScope
from orchestrator.store import keys
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import clock, new_id

ORDER = KillOrder("ann", "it loops")


def spoil(client, key, **facts):
    client.set(key, json.dumps({**json.loads(client.get(key)), **facts}))


@pytest.mark.parametrize(
    ("facts", "unproven"), [({"fromTomorrow": 1, "agentType": "poet"}, 0), ({"phase": "dozing"}, 1)]
)
def test_what_another_version_wrote_is_killed_as_well(
    store, client, switch, spawn, facts, unproven
):
    """One field more, after a rollback, is enough for that."""
    spoiled, other = spawn(), spawn()
    spoil(client, keys.agent(spoiled), **facts)
    client.set(keys.task("t"), "no JSON")
    report = store.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))
    assert (report.total, report.failed) == (2, unproven)
    assert [error.partition(":")[0] for error in report.errors] == [spoiled] * unproven
    for agent_id in (spoiled, other):
        assert json.loads(client.get(keys.agent(agent_id)))["status"] == "killed"
    audited = store.follow(read_entries(limit=10, agent_id=spoiled))
    before = f"spawning ({facts.get('phase', 'queued')})"
    assert [entry.before for entry in audited if entry.action == "kill"] == [before]


class SendsTwice(Store):
    """As a client does whose every first reply was lost."""

    def run(self, operation):
        if operation.script:
            super().run(operation)
        return super().run(operation)


def test_an_order_sent_twice_is_told_waited_for_and_audited_as_one(
    store, client, switch, spawn, valkey_url
):
    queued, held = spawn(), spawn()
    AgentLeases(store, clock, new_id, worker="spawn@x", process="1:1", lease_s=30).claim(held)
    twice = SendsTwice(valkey_url)
    report = twice.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))
    twice.close()
    assert (report.total, report.killed, report.failed) == (2, 1, 1)
    assert report.errors[0].startswith(f"{held}: killed in the state, its death is not confirmed")
    kills = [
        (entry.agent_id, entry.before)
        for entry in store.follow(read_entries(limit=10))
        if entry.action == "kill"
    ]
    assert sorted(kills) == sorted([
        (queued, "spawning (queued)"), (held, "spawning (preparing)"),
    ])  # fmt: skip
    assert client.xlen(keys.KILLS) == 1
    # Another order is another matter.
    again = store.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))
    assert again.total == 0


@pytest.mark.parametrize("record", ["no JSON", "7", '{"status": "dreaming"}'])
def test_what_cannot_be_killed_is_named_and_the_others_are_killed(
    store, client, switch, spawn, record
):
    spoiled, other = spawn(), spawn()
    client.set(keys.agent(spoiled), record)
    report = store.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))
    assert (report.total, report.killed, report.failed) == (2, 1, 1)
    assert report.errors[0].startswith(f"{spoiled}: not killed")
    assert json.loads(client.get(keys.agent(other)))["status"] == "killed"
    with pytest.raises(RecordMalformed, match=spoiled):
        store.follow(switch.kill(spoiled, ORDER, timeout_s=0.01))
