"""The kill switch on a real Valkey: what a kill answers for each state of an agent."""

from __future__ import annotations

import pytest

from orchestrator.audit.log import read_entries
from orchestrator.errors import AgentEnded, KillUnconfirmed, NotFound
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.messages import SPAWN_QUEUE, queue_key
from orchestrator.models import KillScope, PartialRecord, Status
from orchestrator.store import agent_transitions, agents, keys, kills
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import clock, new_id

ORDER = KillOrder("ann", "it loops")


@pytest.fixture
def held(store, spawn):
    agent_id = spawn()
    AgentLeases(store, clock, new_id, worker="spawn@x", process="1:1", lease_s=30).claim(agent_id)
    return agent_id


def kill(store, switch, agent_id):
    return store.follow(switch.kill(agent_id, ORDER, timeout_s=0.01))


def audited(store):
    return [entry for entry in store.follow(read_entries(limit=20)) if entry.action == "kill"]


def test_an_agent_that_nobody_knows_is_not_found_and_not_audited(store, switch):
    with pytest.raises(NotFound, match="nobody"):
        kill(store, switch, "nobody")
    assert not audited(store)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_an_agent_that_ended_itself_stays_so(store, switch, held, status):
    agent = store.run(agents.read(held))
    if status is Status.COMPLETED:
        step = agent_transitions.start(agent, base_commit="c", lease_s=30, now=clock())
        agent = store.run(step).state
    store.run(agent_transitions.end(agent, status, now=clock(), tag="t"))
    with pytest.raises(AgentEnded, match=status):
        kill(store, switch, held)
    assert not audited(store)


def test_a_kill_that_nobody_confirms_says_which_worker_is_asked(store, switch, held):
    for _ in range(2):
        with pytest.raises(KillUnconfirmed, match=r"its death is not confirmed \(worker spawn@x\)"):
            kill(store, switch, held)
    assert [entry.agent_id for entry in audited(store)] == [held]
    store.run(kills.add_to_receipt(held, {"survivors": [7, 8]}))
    with pytest.raises(KillUnconfirmed, match=r"\(worker spawn@x, survivors 7, 8\)"):
        kill(store, switch, held)
    store.run(kills.add_to_receipt(held, {"unproven": "a program ended its supervisor"}))
    with pytest.raises(KillUnconfirmed, match=r"processes is unproven .*a program ended its super"):
        kill(store, switch, held)
    store.run(kills.add_to_receipt(held, {"confirmed": True, "confirmedBy": "worker"}))
    assert kill(store, switch, held).confirmed


def test_a_kill_of_a_scope_ends_no_other_agent(store, switch, spawn):
    mine, other = spawn(taskId="mine"), spawn(taskId="other")
    report = store.follow(switch.kill_all(KillScope(task_id="mine"), ORDER, timeout_s=0.01))
    assert (report.total, report.killed, report.failed) == (1, 1, 0)
    assert store.run(agents.read(mine)).status is Status.KILLED
    assert store.run(agents.read(other)).status is Status.SPAWNING


def test_a_kill_of_what_nobody_holds_waits_for_nobody(store, switch, spawn):
    """It would wait for longer than any test may take."""
    assert store.follow(switch.kill(spawn(), ORDER, timeout_s=3600)).confirmed
    spawn()
    assert store.follow(switch.kill_all(KillScope(), ORDER, timeout_s=3600)).killed == 1


def test_an_agent_whose_record_is_gone_keeps_no_other_alive(store, client, switch, spawn):
    gone, other = spawn(), spawn()
    client.delete(keys.agent(gone))
    report = store.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))
    assert (report.total, report.killed, report.failed) == (1, 1, 0)
    assert store.run(agents.read(other)).status is Status.KILLED
    kill = kills.kill([PartialRecord(agent_id=gone)], ORDER, now=clock(), tags=["t"])
    assert [one.answer for one in store.run(kill)] == ["absent"]


def test_a_receipt_that_is_gone_is_named(store, client, switch, held, spawn, valkey_url):
    other = spawn()

    class Forgets(type(store)):
        def run(self, operation):
            reply = super().run(operation)
            if operation.script and operation.script.name == "kill":
                client.delete(keys.receipt(held))
            return reply

    with_loss = Forgets(valkey_url)
    report = with_loss.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))
    with_loss.close()
    assert (report.total, report.failed) == (2, 1)
    assert report.errors[0].startswith(f"{held}: killed in the state, its receipt")
    assert other in {entry.agent_id for entry in audited(store)}


def test_a_resume_sends_a_message_to_each_agent_that_waits_to_be_started(
    store, client, switch, spawn, held
):
    waits = spawn(priority=5)
    queue = queue_key(SPAWN_QUEUE, 5)
    client.delete(queue)
    store.follow(switch.halt("ann", "a release"))
    assert store.follow(switch.resume("ann", "")) == 1
    (message,) = client.lrange(queue, 0, -1)
    assert waits in message
    assert held not in message
