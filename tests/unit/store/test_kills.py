"""`orchestrator.store.kills`: orders, receipts and the two streams, on a real Valkey."""

from __future__ import annotations

import pytest

from orchestrator.errors import NotFound
from orchestrator.models import AgentState, Status
from orchestrator.store import agents, keys, kills
from tests.script_calls import NOW, seed

ORDER = kills.KillOrder(by="ann", why="enough")


@pytest.fixture
def found(store):
    return seed(store)


def kill(store, agent: AgentState, order: kills.KillOrder = ORDER) -> None:
    store.run(kills.kill([agent], order, now=NOW, tags=["tag"]))


def test_the_order_of_a_hostile_client_is_stored(store, found):
    order = kills.KillOrder(by="a\udc80nn", why="e\udc80nough")
    assert f"{order.by} {order.why}".encode()
    kill(store, found.running, order)
    error = str(store.run(agents.read("running")).error)
    error.encode()
    assert "nough" in error


@pytest.mark.parametrize(("why", "shown"), [("it loops", True), ("", False)])
def test_the_error_of_a_killed_agent_has_the_reason_if_there_is_one(store, found, why, shown):
    kill(store, found.running, kills.KillOrder(by="ann", why=why))
    error = str(store.run(agents.read("running")).error)
    assert ("it loops (killed by ann)" in error) is shown
    assert ("Killed by ann." in error) is not shown


def test_an_agent_without_a_kill_has_no_receipt(store, found):
    with pytest.raises(NotFound, match="running"):
        store.run(kills.read_receipt("running"))
    kill(store, found.running)
    assert store.run(kills.read_receipt("running")).agent_id == "running"


def test_only_the_receipts_of_killed_agents_that_can_be_read_are_returned(store, client, found):
    kill(store, found.running)
    states = [store.run(agents.read(name)) for name in ("queued", "running", "killed")]
    assert {state.status for state in states} > {Status.KILLED}
    assert set(store.follow(kills.receipts_of(states))) == {"running", "killed"}
    client.set(keys.receipt("killed"), "no JSON")
    assert set(store.follow(kills.receipts_of(states))) == {"running"}
    assert store.follow(kills.receipts_of(states[:1])) == {}


def test_a_stream_is_read_from_its_last_entry_on(store, client, found):
    client.delete(keys.KILLS, keys.KILL_ACKS)
    assert store.run(kills.last_kill()) == store.run(kills.last_ack()) == "0-0"
    nothing = store.run(kills.await_kills("0-0", block_ms=1))
    assert nothing == kills.KillEntries("0-0")
    kill(store, found.running)
    heard = store.run(kills.await_kills("0-0", block_ms=1000))
    assert heard.agent_ids == ("running",)
    assert heard.last == store.run(kills.last_kill()) != "0-0"
    store.run(kills.add_to_receipt("running", {"confirmed": True, "confirmedBy": "worker"}))
    heard = store.run(kills.await_acks("0-0", block_ms=1000))
    assert (heard.agent_ids, heard.last) == (("running",), store.run(kills.last_ack()))
