"""`transition.lua`: the message of the next step and Celery's result leave with their move."""

from __future__ import annotations

import json

from orchestrator.errors import OrchestratorError
from orchestrator.messages import GATES_QUEUE, queue_key, result_key
from orchestrator.models import Status
from orchestrator.store import agent_transitions, agents, changes, registration
from tests.script_calls import NOW


def test_an_end_stores_and_publishes_the_outcome_and_no_other_move_does(store, client, now_is):
    key = result_key("running")
    with client.pubsub() as heard:
        heard.subscribe(key)
        assert heard.get_message(timeout=60)["type"] == "subscribe"
        store.run(agent_transitions.update(now_is.running, {"summary": "s"}, now=NOW))
        assert not client.exists(key)
        error = OrchestratorError("It failed.")
        store.run(
            agent_transitions.end(now_is.running, Status.FAILED, now=NOW, tag="t", error=error)
        )
        published = heard.get_message(timeout=60)["data"]
    assert client.get(key) == published
    assert client.ttl(key) > 0
    outcome = json.loads(published)["result"]
    assert (outcome["agentId"], outcome["status"]) == ("running", "failed")
    # Each field of an outcome is there, if only as null.
    assert outcome["commit"] is None


def test_a_move_to_the_gates_sends_one_message_and_an_update_none(store, client, now_is):
    queue = queue_key(GATES_QUEUE, now_is.running.priority)
    store.run(agent_transitions.update(now_is.running, {"summary": "s"}, now=NOW))
    assert client.llen(queue) == 0
    store.follow(changes.put_change("running", now_is.running.attempt, b"change"))
    store.run(agent_transitions.enqueue_for_gates(now_is.running, {}, now=NOW, tag="t"))
    (message,) = client.lrange(queue, 0, -1)
    assert json.loads(message)["headers"]["task"] == "orchestrator.gate_check"


def test_a_claim_that_gets_its_slot_sends_no_message(store, client, now_is):
    length = sum(client.llen(name) for name in client.keys("spawn*"))
    store.run(agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW, tag="t"))
    assert sum(client.llen(name) for name in client.keys("spawn*")) == length
    assert store.run(agents.read("queued")).attempt == 1


def test_a_refused_request_has_its_result(store, client):
    key = result_key("raw")
    with client.pubsub() as heard:
        heard.subscribe(key)
        assert heard.get_message(timeout=60)["type"] == "subscribe"
        store.run(registration.refusal("raw", OrchestratorError("It failed."), now=NOW))
        published = heard.get_message(timeout=60)["data"]
    assert client.get(key) == published
    assert client.ttl(key) > 0
    assert json.loads(published)["result"]["error"].startswith("It failed.")
