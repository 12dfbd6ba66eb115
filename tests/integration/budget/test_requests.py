"""Requests to a model reserve their tokens in one script, and no limit is exceeded."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from orchestrator.errors import BudgetExceeded, BudgetExhausted, LeaseLost
from orchestrator.leases.attempt_result import Reschedule
from orchestrator.settings import load_settings
from orchestrator.store import budget, keys, kills
from orchestrator.store.budget import publish
from orchestrator.store.model_requests import TokenNeed, admit_request, close_requests
from tests.integration.budget.conftest import LIMITS, Fleet

LARGE = 100_000


def asks(fleet, agent, request="1", *, prompt=50, output=LARGE, answers=1, worth=1, session="s"):
    need = TokenNeed(prompt, output, answers, worth)
    admission = fleet.store.run(admit_request(agent, session, request, need, now=fleet.at))
    return admission.answer, admission.output_tokens


def closes(fleet, agent, *requests, session="s"):
    return fleet.store.run(close_requests(agent.agent_id, session, requests, now=fleet.at))


def extended(fleet, client) -> int:
    return int(client.hget(keys.MODEL_REQUESTS, "*") or 0)


def test_an_answer_gets_what_the_agent_has_left_and_returns_what_it_does_not_use(fleet, client):
    agent = fleet.running()
    assert not closes(fleet, agent, "1")
    assert asks(fleet, agent) == ("admitted", 450)
    assert fleet.counts() == (0, 500)
    assert extended(fleet, client) == 400
    fleet.spend(agent, 120)
    assert fleet.counts() == (120, 380)
    assert closes(fleet, agent, "1")
    assert fleet.counts() == (120, 0)
    assert extended(fleet, client) == 0
    assert asks(fleet, agent, "2") == ("admitted", 330)
    assert not closes(fleet, agent, "2", session="another")
    fleet.spend(agent, 500)
    closes(fleet, agent, "2")
    assert fleet.counts() == (500, 0)
    assert asks(fleet, agent, "3")[0] == "refused"


def test_the_rest_of_a_reservation_outlives_the_requests_that_used_less(fleet, client):
    agent = fleet.running()
    assert asks(fleet, agent, output=30) == ("admitted", 30)
    assert (fleet.counts(), extended(fleet, client)) == ((0, 100), 0)
    fleet.spend(agent, 20)
    closes(fleet, agent, "1")
    assert fleet.counts() == (20, 80)


def test_parallel_requests_share_the_day_and_wait_for_each_other(fleet):
    first, second = fleet.running(), fleet.running()
    assert asks(fleet, first) == ("admitted", 450)
    assert asks(fleet, second) == ("admitted", 450)
    # Each agent has its own limit; a further request of one waits for its first.
    assert asks(fleet, first, "2") == ("wait", 0)
    fleet.spend(first, 200)
    closes(fleet, first, "1")
    assert asks(fleet, first, "2", worth=400) == ("admitted", 250)
    with pytest.raises(BudgetExhausted):
        fleet.spawn()


def test_a_request_waits_for_more_than_the_least_output_only_while_others_are_open(fleet):
    agent = fleet.running()
    assert asks(fleet, agent, output=380) == ("admitted", 380)
    assert asks(fleet, agent, "2", prompt=10, worth=80)[0] == "wait"
    assert asks(fleet, agent, "2", prompt=60)[0] == "wait", "10 tokens are too few for any model"
    assert asks(fleet, agent, "2", prompt=10, worth=60) == ("admitted", 60)
    closes(fleet, agent, "1", "2")
    fleet.spend(agent, 430)
    assert asks(fleet, agent, "3", prompt=10, worth=80) == ("admitted", 60)


def test_what_other_agents_reserved_is_not_admitted_and_the_refusal_names_the_limit(fleet):
    fleet.store.run(publish(load_settings({**LIMITS, "BUDGET_PER_AGENT_TOKENS": "5000"})))
    agent, other = fleet.running(), fleet.running()
    assert asks(fleet, agent) == ("admitted", 850)
    # The other keeps its own reservation, and gets nothing beyond it.
    assert asks(fleet, other, prompt=50) == ("admitted", 50)
    closes(fleet, other, "1")
    assert asks(fleet, other, "2", prompt=880)[0] == "wait"
    need = TokenNeed(990, 20, 1, 1)
    refused = fleet.store.run(admit_request(other, "s", "2", need, now=fleet.at))
    assert refused.answer == "refused"
    assert refused.reason == (
        "Of today's 1000 tokens 0 are spent and 200 reserved, and its next request needs up to"
        " 1006."
    )


def test_each_of_several_answers_gets_its_part(fleet):
    agent = fleet.running()
    assert asks(fleet, agent, answers=4) == ("admitted", 112)
    assert fleet.counts() == (0, 498)
    # The same request again replaces its reservation.
    assert asks(fleet, agent, answers=4, output=20) == ("admitted", 20)
    assert fleet.counts() == (0, 130)


def test_open_requests_of_others_stop_nobody_but_what_is_spent_does(fleet):
    fleet.store.run(publish(load_settings({**LIMITS, "BUDGET_PER_AGENT_TOKENS": "5000"})))
    agent, other = fleet.running(), fleet.running()
    assert fleet.spend(other, 150) == ""
    assert asks(fleet, agent) == ("admitted", 800)
    assert fleet.counts() == (150, 850)
    assert fleet.spend(other, 150) == ""
    fleet.spend(agent, 850)
    assert "1000 are spent" in fleet.spend(other, 151 - 1)


@pytest.mark.parametrize("how", ["end", "kill", "release", "session", "recover"])
def test_a_reservation_of_a_proxy_that_is_gone_lapses(fleet, client, how):
    agent = fleet.running()
    asks(fleet, agent)
    left = 0
    if how == "end":
        fleet.holder.fail(agent, BudgetExceeded())
        assert asks(fleet, agent, "2") == ("ended", 0)
    elif how == "kill":
        order = kills.KillOrder("me", "why")
        fleet.store.run(kills.kill([agent], order, now=fleet.at, tags=["t"]))
        assert asks(fleet, agent, "2") == ("ended", 0)
    elif how == "release":
        fleet.holder.enqueue_for_gates(agent, {}, b"change")
        left = 100
    elif how == "recover":
        fleet.holder.apply(agent, Reschedule(LeaseLost(), counts=True))
        left = 100
        assert asks(fleet, agent, "2")[0] == "ended"
    else:
        assert asks(fleet, agent, "2", prompt=10, output=20, session="next") == ("admitted", 20)
        left = 100
    assert fleet.counts() == (0, left)
    assert extended(fleet, client) == 0


def test_in_soft_mode_nothing_is_limited_or_reserved(store, tmp_path):
    fleet = Fleet(store, tmp_path, BUDGET_MODE="soft")
    agent = fleet.running()
    assert asks(fleet, agent) == ("admitted", LARGE)
    assert fleet.counts() == (0, 100)


def test_an_agent_whose_program_starts_is_admitted(fleet):
    assert asks(fleet, fleet.holder.claim(fleet.spawn())) == ("admitted", 450)


def test_another_holder_of_the_agent_is_admitted_nothing(fleet):
    agent = fleet.running()
    for wrong in ({"attempt": 7}, {"worker_process": "2:2"}):
        assert asks(fleet, agent.model_copy(update=wrong)) == ("ended", 0)
    assert asks(fleet, agent.model_copy(update={"agent_id": "nobody"})) == ("ended", 0)


@pytest.mark.parametrize("stored", ["x", "[]", "1", '{"held":1}', '{"held":{"a":"x"}}'])
def test_a_malformed_record_of_open_requests_holds_up_nothing(fleet, client, stored):
    agent = fleet.running()
    client.hset(keys.MODEL_REQUESTS, agent.agent_id, stored)
    client.hset(keys.MODEL_REQUESTS, "*", "x")
    assert asks(fleet, agent) == ("admitted", 450)
    fleet.spend(agent, 100)
    closes(fleet, agent, "1")
    fleet.holder.fail(agent, BudgetExceeded())
    assert fleet.counts() == (100, 0)


def test_usage_of_an_agent_without_a_reservation_makes_none(fleet, client):
    agent = fleet.running()
    client.hdel(keys.RESERVED, agent.agent_id, "*")
    fleet.spend(agent, 120)
    assert client.hgetall(keys.RESERVED) == {}
    assert fleet.counts() == (120, 0)


def test_what_a_day_counts_lapses(fleet, client):
    fleet.spend(fleet.running(), 120)
    stored = keys.budget(fleet.at)
    assert client.ttl(stored["day"]) > 0
    assert client.ttl(stored["spenders"]) > 0


def test_fsck_s_recount_counts_open_requests_again(fleet, client):
    agent = fleet.running()
    asks(fleet, agent)
    asks(fleet, fleet.running(), output=100)
    client.hset(keys.MODEL_REQUESTS, "*", "77")
    assert fleet.store.run(budget.recount([])) == 650
    assert extended(fleet, client) == 450
    assert fleet.store.run(budget.recount([agent.agent_id])) == 150
    assert not client.hexists(keys.MODEL_REQUESTS, agent.agent_id)
    assert extended(fleet, client) == 50


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_of_requests_no_limit_is_exceeded(fleet, client, seed):
    """An answer that uses all it may, in any interleaving with charges, midnights and ends."""
    fleet.store.run(publish(load_settings({**LIMITS, "MAX_CONCURRENT_AGENTS": "9"})))
    draw = random.Random(seed)
    agents = [fleet.running() for _ in range(4)]
    spent = dict.fromkeys((agent.agent_id for agent in agents), 0)
    pending: dict[tuple[str, str], int] = {}
    for step in range(150):
        agent = draw.choice(agents)
        name = agent.agent_id
        if draw.random() < 0.5:
            prompt, answers = draw.randint(1, 60), draw.choice((1, 1, 3))
            output = draw.choice((10, 200, LARGE))
            answer, granted = asks(
                fleet, agent, str(step), prompt=prompt, output=output, answers=answers
            )
            if answer == "admitted":
                pending[name, str(step)] = prompt + answers * granted
        elif mine := [key for key in pending if key[0] == name]:
            key = draw.choice(mine)
            spent[name] += draw.choice((pending[key], draw.randint(0, pending[key])))
            fleet.spend(agent, spent[name])
            if draw.random() < 0.8:
                closes(fleet, agent, key[1])
            del pending[key]
        used, reserved = fleet.counts()
        assert used + reserved <= 1000
        assert used + sum(pending.values()) <= 1000
        assert max(spent.values()) <= 500
        assert reserved == sum(
            int(value) for field, value in client.hgetall(keys.RESERVED).items() if field != "*"
        )
    fleet.at += timedelta(days=1)
    for agent in agents:
        fleet.holder.fail(agent, BudgetExceeded())
    assert (fleet.counts(), extended(fleet, client)) == ((0, 0), 0)
