"""`missing_messages.lua` and the index of those that await a message, which the scripts keep."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.messages import (
    GATE_CHECK_TASK,
    GATES_QUEUE,
    SPAWN_QUEUE,
    SPAWN_TASK,
    StageMessage,
)
from orchestrator.models import Status
from orchestrator.store import agent_transitions, agents, budget, delays, keys, kills, lost_messages
from orchestrator.store.operations import command, nothing
from orchestrator.store.retention import remove_agent
from orchestrator.store.transition import AWAITED_STEP, now_ms
from tests.script_calls import NOW

LATER = NOW + timedelta(seconds=60)


def awaited(client) -> dict[str, int]:
    """Return the number of the list of each agent that awaits a message."""
    found = client.zrange(keys.AWAITING, 0, -1, withscores=True)
    return {name: int(score) // AWAITED_STEP for name, score in found}


def test_the_lists_are_numbered_as_the_scripts_number_them():
    numbers = [
        StageMessage(task, queue, "a", priority).list_number
        for task, queue in ((SPAWN_TASK, SPAWN_QUEUE), (GATE_CHECK_TASK, GATES_QUEUE))
        for priority in range(10, 0, -1)
    ]
    assert numbers == list(range(20))


def test_an_agent_awaits_a_message_from_its_sending_to_its_claim(store, client, now_is):
    # A killed agent waits for its cleanup, and a delayed one for no message yet.
    assert awaited(client) == {"killed": 25, "queued": 5}
    message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, "delayed", 5)
    assert store.run(delays.release(message, now=NOW, tag="t"))
    assert awaited(client)["delayed"] == 5
    store.run(agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW))
    assert "queued" not in awaited(client)
    store.follow(agent_transitions.enqueue_with_change(now_is.running, {}, b"x", now=NOW, tag="t"))
    assert awaited(client)["running"] == 15
    claimed = agent_transitions.claim_for_gates(
        store.run(agents.read("running")), "w@h", "1:1", lease_s=30, now=NOW
    )
    agent = store.run(claimed).state
    assert "running" not in awaited(client)
    store.run(agent_transitions.end(agent, Status.COMPLETED, now=NOW, tag="t"))
    assert awaited(client)["running"] == 25
    store.run(agent_transitions.cleaned(store.run(agents.read("running")), now=NOW))
    assert "running" not in awaited(client)
    store.follow(remove_agent("killed", Status.KILLED))
    assert set(awaited(client)) == {"delayed"}


def test_one_that_waits_for_a_slot_awaits_a_message_only_when_it_is_called(store, client, now_is):
    store.run(budget.set_limits({"concurrency": 1}, now=NOW))
    claim = agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW, tag="t")
    with pytest.raises(Exception, match="waits for a place"):
        store.run(claim)
    assert "queued" not in awaited(client)
    store.run(budget.set_limits({"concurrency": 2}, now=NOW))
    assert awaited(client)["queued"] == 5


def test_a_message_that_is_sent_again_changes_no_agent_that_awaits_none(store, client, now_is):
    for name in ("queued", "running"):
        message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, name, 1)
        store.run(kills.enqueue(message, now=LATER, tag="t"))
    assert awaited(client) == {"killed": 25, "queued": 9}
    assert client.zscore(keys.AWAITING, "queued") == 9 * AWAITED_STEP + now_ms(LATER)


# ── what is missing ─────────────────────────────────────────────────────────────────────────


def put(store, name: str, at_s: float, *, is_sent: bool, priority: int = 5) -> None:
    """Let an agent await a message, which is in the list or not."""
    message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, name, priority)
    now = NOW + timedelta(seconds=at_s)
    store.run(lost_messages.await_message(message, now=now))
    if is_sent:
        envelope = message.envelope(delivery_tag="t", origin="o")
        store.run(command("LPUSH", message.key, envelope, decode=nothing))


def missing(store) -> list[str]:
    return [one.agent_id for one in store.follow(lost_messages.missing())]


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(lost_messages, "_MESSAGES", 3)


def test_of_a_short_list_every_lost_message_is_found(store, few):
    put(store, "lost", 100, is_sent=False)
    put(store, "sent", 0, is_sent=True)
    put(store, "lost-urgent", 0, is_sent=False, priority=10)
    assert missing(store) == ["lost-urgent", "lost"]
    found = store.follow(lost_messages.missing())
    assert found[1].sent_ms == now_ms(NOW + timedelta(seconds=100))


def test_of_a_long_list_a_lost_message_is_found_when_its_turn_has_passed(store, client, few):
    put(store, "before", 0, is_sent=False)
    for number in range(5):
        put(store, f"sent-{number}", 20 + number, is_sent=True)
    put(store, "between", 22, is_sent=False)
    put(store, "behind", 60, is_sent=False)
    # The last two of the list are not read, and are not lost.
    assert missing(store) == ["before"]
    client.rpop("spawn\x06\x165", 2)
    assert set(missing(store)) == {"before", "between", "behind", "sent-0", "sent-1"}


def test_what_is_no_message_of_an_agent_hides_no_loss(store, client, few):
    for text in ("x", '{"headers": {"id": 5}}', '{"id": ""}', "{}"):
        client.lpush("spawn\x06\x165", text)
    put(store, "lost", 0, is_sent=False)
    # Without any that awaits a message, nobody's turn is known.
    assert missing(store) == []
    client.rpop("spawn\x06\x165", 1)
    assert missing(store) == ["lost"]


def test_the_lists_are_read_in_parts(store, monkeypatch):
    monkeypatch.setattr(lost_messages, "_MESSAGES", 1)
    monkeypatch.setattr(lost_messages, "_AGENTS", 1)
    for priority in (10, 5, 1):
        put(store, f"lost-{priority}", 0, is_sent=False, priority=priority)
        put(store, f"later-{priority}", 1, is_sent=False, priority=priority)
    assert missing(store) == ["lost-10", "lost-5", "lost-1"]
