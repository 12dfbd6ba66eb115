"""Every step of an agent is one guarded, fenced, atomic move in a real Valkey."""

from __future__ import annotations

import json
import threading

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.errors import (
    AttemptStale,
    CursorUnknown,
    IdempotencyConflict,
    NotFound,
    RecordMalformed,
    RequestInvalid,
    StoreUnreachable,
    TransitionRefused,
)
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.models import LogLine, Phase, SpawnRequest, Status, TaskStatus, Usage
from orchestrator.queries.agent_list import page
from orchestrator.store import agent_transitions, agents, keys, leases
from orchestrator.store.agent_logs import append_log, read_log
from orchestrator.store.client import Store
from orchestrator.store.events import read_events
from orchestrator.wiring import clock, new_id


def body(**changes: object) -> dict[str, object]:
    context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
    return {"taskId": "t-1", "agentType": "worker", "context": context, **changes}


@pytest.fixture
def door():
    return SubmitService("scripted", frozenset({"scripted"}), clock, new_id)


@pytest.fixture
def holder(store):
    return AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)


@pytest.fixture
def agent_id(store, door):
    return store.run(door.submit(body())).agent_id


def event_types(store) -> list[str]:
    found = [entry.event.type for entry in store.run(read_events(after="0-0"))]
    return [kind for kind in found if kind != "agent.phase"]


def test_registering_stores_state_task_event_and_message_together(store, client, agent_id):
    agent = store.run(agents.read(agent_id))
    assert (agent.status, agent.phase, agent.attempt) == (Status.SPAWNING, Phase.QUEUED, 0)
    assert store.run(agents.read_task("t-1")).status is TaskStatus.PENDING
    assert store.run(agents.read_request(agent_id)) == SpawnRequest.parse(body())
    assert event_types(store) == ["agent.spawning"]
    (message,) = client.lrange("spawn\x06\x165", 0, -1)
    assert json.loads(message)["headers"]["id"] == agent_id


def test_stored_states_are_plain_json_with_the_contracts_names(client, agent_id):
    document = json.loads(client.get(f"orchestrator:agent:{agent_id}"))
    assert document["agentId"] == agent_id
    assert document["spawnedAt"].endswith("Z")
    assert json.loads(client.get("orchestrator:task:t-1"))["context"]["workItems"] == ["do it"]


def test_the_same_key_and_body_is_the_same_agent_and_one_message(store, client, door):
    first, second = (store.run(door.submit(body(), idempotency_key="k")) for _ in range(2))
    assert first.agent_id == second.agent_id
    assert (first.is_new, second.is_new) == (True, False)
    assert client.llen("spawn\x06\x165") == 1


def test_the_same_key_with_another_body_is_a_conflict(store, door):
    store.run(door.submit(body(), idempotency_key="k"))
    with pytest.raises(IdempotencyConflict):
        store.run(door.submit(body(taskId="t-2"), idempotency_key="k"))


def test_an_unknown_backend_is_refused_at_the_door(door):
    with pytest.raises(RequestInvalid, match="agent: must be one of scripted"):
        door.submit(body(agent="none"))


def test_of_many_claims_exactly_one_wins(store, agent_id):
    agent = store.run(agents.read(agent_id))
    won: list[int] = []
    barrier = threading.Barrier(16)

    def claim(number: int) -> None:
        barrier.wait()
        try:
            store.run(agent_transitions.claim(agent, f"w{number}", "1:1", lease_s=30, now=clock()))
        except TransitionRefused:
            return
        won.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    claimed = store.run(agents.read(agent_id))
    assert (claimed.attempt, claimed.worker) == (1, f"w{won[0]}")


def test_a_stale_attempt_can_write_nothing(store, holder, agent_id):
    claimed = holder.claim(agent_id)
    stale = claimed.model_copy(update={"attempt": 0})
    for step in (
        agent_transitions.update(stale, {"phase": "executing"}, now=clock()),
        agent_transitions.start(stale, base_commit="c", lease_s=1, now=clock()),
        agent_transitions.enqueue_for_gates(stale, {}, now=clock(), tag="t"),
        agent_transitions.end(stale, Status.FAILED, now=clock(), tag="t"),
    ):
        with pytest.raises(AttemptStale):
            store.run(step)
    assert store.run(leases.heartbeat(stale, lease_s=30, now=clock())) == "stale"
    line = LogLine(at=clock(), source="agent", text="old")
    assert store.run(append_log(agent_id, 0, [line], cap=10)) is False
    assert store.run(agents.read(agent_id)) == claimed
    assert store.follow(read_log(agent_id)) == []


def test_the_whole_life_is_told_by_state_task_events_and_result(store, client, holder, agent_id):
    agent = holder.start(holder.claim(agent_id), base_commit="abc")
    assert store.run(agents.read_task("t-1")).status is TaskStatus.EXECUTING
    holder.enqueue_for_gates(agent, {"usage": Usage(total_tokens=7).wire()}, b"change")
    assert client.zcard(keys.LEASES) == 0
    (gate_check,) = client.lrange("gates\x06\x165", 0, -1)
    assert json.loads(gate_check)["headers"]["root_id"] == agent_id
    agent = holder.claim_for_gates(agent_id, 1)
    holder.complete(agent, {"branch": f"agent/{agent_id}", "commit": "def"})
    ended = store.run(agents.read(agent_id))
    assert (ended.status, ended.commit, ended.usage.total_tokens) == (Status.COMPLETED, "def", 7)
    assert store.run(agents.read_task("t-1")).status is TaskStatus.COMPLETED
    assert event_types(store) == ["agent.spawning", "agent.running", "agent.completed"]
    assert client.llen("cleanup\x06\x165") == 1
    assert client.zcard(keys.LEASES) == 0
    assert client.zrange(keys.status_index("completed"), 0, -1) == [agent_id]
    assert client.zcard(keys.status_index("running")) == 0


def test_a_second_delivery_of_a_hand_over_is_dropped(holder, agent_id):
    holder.enqueue_for_gates(holder.start(holder.claim(agent_id), base_commit="abc"), {}, b"change")
    assert holder.claim_for_gates(agent_id, 1) is not None
    assert holder.claim_for_gates(agent_id, 1) is None
    assert holder.claim(agent_id) is None


@pytest.mark.parametrize("to", [Status.FAILED, Status.KILLED])
def test_a_final_state_never_changes(store, holder, agent_id, to):
    agent = holder.claim(agent_id)
    store.run(agent_transitions.end(agent, to, now=clock(), tag="t"))
    for step in (
        agent_transitions.update(agent, {"commit": "x"}, now=clock()),
        agent_transitions.start(agent, base_commit="c", lease_s=1, now=clock()),
        agent_transitions.end(agent, Status.COMPLETED, now=clock(), tag="t"),
        agent_transitions.end(agent, Status.FAILED, now=clock(), tag="t"),
    ):
        with pytest.raises(TransitionRefused):
            store.run(step)
    assert store.run(agents.read(agent_id)).status is to


def test_cleanup_is_announced_once_and_only_after_the_end(store, holder, agent_id):
    agent = holder.claim(agent_id)
    with pytest.raises(TransitionRefused):
        store.run(agent_transitions.cleaned(agent, now=clock()))
    store.run(agent_transitions.end(agent, Status.FAILED, now=clock(), tag="t"))
    store.run(agent_transitions.cleaned(agent, now=clock()))
    with pytest.raises(TransitionRefused):
        store.run(agent_transitions.cleaned(agent, now=clock()))
    assert event_types(store).count("agent.cleanup") == 1


def test_a_live_lease_is_left_alone_by_the_sweep(holder, agent_id):
    with holder.holding(holder.claim(agent_id)):
        assert Rescuer(holder, 3600).sweep() == ()


def test_absent_refused_and_unreachable_are_three_errors(store, holder, agent_id, unused_port):
    with pytest.raises(NotFound):
        store.run(agents.read("no-such-agent"))
    agent = holder.claim(agent_id)
    with pytest.raises(TransitionRefused):
        store.run(agent_transitions.claim(agent, "w", "1:1", lease_s=1, now=clock()))
    away = Store(f"redis://127.0.0.1:{unused_port}/0")
    with pytest.raises(StoreUnreachable, match=str(unused_port)):
        away.run(agents.read(agent_id))
    away.close()


@pytest.mark.parametrize("value", ["not json", "{}", '{"agentId": 7}', "[]"])
def test_a_malformed_record_is_an_error_that_names_its_key(store, client, value):
    client.set("orchestrator:agent:broken", value)
    with pytest.raises(RecordMalformed, match="orchestrator:agent:broken"):
        store.run(agents.read("broken"))


def test_a_key_of_another_type_is_an_error_that_names_it(store, client):
    client.lpush("orchestrator:agent:list", "x")
    with pytest.raises(RecordMalformed, match="orchestrator:agent:list"):
        store.run(agents.read("list"))


def test_pages_cover_every_agent_once_newest_first_while_more_arrive(store, door):
    known = [store.run(door.submit(body(taskId=f"t-{n}"))).agent_id for n in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        found = store.follow(page(limit=3, cursor=cursor))
        seen += [agent.agent_id for agent in found.agents]
        store.run(door.submit(body(taskId="late")))
        if found.next_cursor is None:
            break
        cursor = found.next_cursor
    assert sorted(seen) == sorted(known)
    instants = [store.run(agents.read(agent_id)).spawned_at for agent_id in seen]
    assert instants == sorted(instants, reverse=True)


def test_pages_are_filtered(store, door, holder):
    first, second = (store.run(door.submit(body(taskId=f"t-{n}"))).agent_id for n in (1, 2))
    holder.start(holder.claim(first), base_commit="c")
    running = store.follow(page(status=Status.RUNNING))
    assert [agent.agent_id for agent in running.agents] == [first]
    of_task = store.follow(page(task_id="t-2"))
    assert [agent.agent_id for agent in of_task.agents] == [second]
    with pytest.raises(CursorUnknown):
        store.follow(page(cursor="never-given"))


def test_scripts_are_sent_again_after_valkey_forgot_them(store, client, agent_id):
    client.script_flush()
    store.run(
        agent_transitions.claim(
            store.run(agents.read(agent_id)), "w", "1:1", lease_s=1, now=clock()
        )
    )
