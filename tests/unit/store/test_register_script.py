"""`register.lua`: what is registered once, and what leaves nothing behind."""

from __future__ import annotations

import json

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.errors import (
    ArgumentRefused,
    BudgetExhausted,
    Halted,
    IdempotencyConflict,
    PriceUnknown,
)
from orchestrator.models import Halt
from orchestrator.store import budget, halt, keys
from tests.script_calls import NOW, arguments_of, calls, seed, with_arguments

_CONTEXT = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
BODY = {"taskId": "t", "agentType": "worker", "context": _CONTEXT}


@pytest.fixture
def service():
    return SubmitService("scripted", frozenset({"scripted"}), lambda: NOW, lambda: "tag")


def written(client):
    return {name: client.dump(name) for name in client.keys("*")}


def test_an_agent_is_registered_once(store, client, service):
    assert store.run(service.submit(BODY, agent_id="a", by="ann")).is_new
    before = written(client)
    again = store.run(service.submit(BODY, agent_id="a", by="ann"))
    assert (again.agent_id, again.is_new) == ("a", False)
    assert written(client) == before


def test_an_idempotency_key_names_one_agent_and_one_body(store, client, service):
    first = store.run(service.submit(BODY, agent_id="a", by="ann", idempotency_key="k"))
    before = written(client)
    again = store.run(service.submit(BODY, agent_id="b", by="ann", idempotency_key="k"))
    assert (again.agent_id, again.is_new) == (first.agent_id, False)
    other = {**BODY, "priority": 9}
    with pytest.raises(IdempotencyConflict):
        store.run(service.submit(other, agent_id="b", by="ann", idempotency_key="k"))
    assert written(client) == before
    # Another caller's key of the same name, and another key, are other ones.
    assert store.run(service.submit(BODY, agent_id="c", by="bob", idempotency_key="k")).is_new
    assert store.run(service.submit(BODY, agent_id="d", by="ann", idempotency_key="l")).is_new


def test_a_halt_lets_no_new_work_in(store, client, service):
    store.run(halt.set_halt(Halt(why="r", by="ann", at=NOW)))
    before = written(client)
    with pytest.raises(Halted):
        store.run(service.submit(BODY, agent_id="a", by="ann"))
    assert written(client) == before


def test_a_day_without_tokens_lets_no_new_work_in_but_in_soft_mode(store, client, service):
    store.run(budget.set_limits({"daily": 15, "agent": 10}, now=NOW))
    assert store.run(service.submit(BODY, agent_id="a", by="ann")).is_new
    before = written(client)
    with pytest.raises(BudgetExhausted):
        store.run(service.submit(BODY, agent_id="b", by="ann"))
    assert written(client) == before
    store.run(budget.set_limits({"mode": "soft"}, now=NOW))
    assert store.run(service.submit(BODY, agent_id="b", by="ann")).is_new
    reserved = client.hgetall(keys.budget(NOW)["reserved"])
    assert reserved == {"a": "10", "b": "10", "*": "20"}


@pytest.mark.parametrize("position", [0, 1])
def test_state_and_task_are_those_of_the_agent(store, client, position):
    call = calls(seed(store))["register"]
    arguments = [*arguments_of(call)]
    arguments[position] = json.dumps({**json.loads(arguments[position]), "agentId": "another"})
    before = written(client)
    with pytest.raises(ArgumentRefused, match="agentId"):
        store.run(with_arguments(call, tuple(arguments)))
    assert written(client) == before


@pytest.mark.parametrize("value", [None, "", 5])
def test_an_event_says_its_type(store, client, value):
    call = calls(seed(store))["register"]
    arguments = [*arguments_of(call)]
    arguments[6] = json.dumps({**json.loads(arguments[6]), "type": value})
    before = written(client)
    with pytest.raises(ArgumentRefused, match=r"event\.type"):
        store.run(with_arguments(call, tuple(arguments)))
    assert written(client) == before


def test_where_dollars_are_limited_a_model_without_a_price_is_refused(store, client):
    call = calls(seed(store))["register"]
    unpriced = with_arguments(call, (*arguments_of(call)[:13], "a model"))
    for name in ("agentUsd", "dailyUsd"):
        store.run(budget.set_limits({name: 5.0}, now=NOW))
        before = written(client)
        with pytest.raises(PriceUnknown):
            store.run(unpriced)
        assert written(client) == before
        store.run(budget.set_limits({name: None}, now=NOW))


@pytest.mark.parametrize(
    ("limits", "unpriced"),
    [
        ({"agentUsd": 5.0}, ""),
        ({"agentUsd": 5.0, "mode": "soft"}, "a model"),
        ({"agent": 100}, "a model"),
    ],
)
def test_a_price_soft_mode_or_no_limit_of_dollars_lets_a_model_in(store, limits, unpriced):
    call = calls(seed(store))["register"]
    store.run(budget.set_limits(limits, now=NOW))
    assert store.run(with_arguments(call, (*arguments_of(call)[:13], unpriced))).is_new
