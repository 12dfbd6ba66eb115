"""Limits of dollars: of the day, of an agent and of a request; they stop like those of tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import DollarsExhausted, LimitInvalid, PriceUnknown
from orchestrator.models import AgentType, BudgetStatus, ModelChoice
from orchestrator.settings import load_settings
from orchestrator.settings.prices import Price
from orchestrator.store import keys, leases
from orchestrator.store.budget import limits, publish, recount
from orchestrator.store.model_requests import TokenNeed, admit_request, close_requests
from tests.integration.budget.conftest import LIMITS, Fleet

LARGE = 100_000
#: A hundredth of a dollar for 100 tokens of output, and for 1,000 of a prompt.
PRICE = Price(input=10, output=100)
TOKENS = {"BUDGET_DAILY_TOKENS": "10M", "BUDGET_PER_AGENT_TOKENS": "1M"}


@pytest.fixture
def fleet(store, tmp_path):
    dollars = {"BUDGET_DAILY_USD": "1", "BUDGET_PER_AGENT_USD": "0.50"}
    return Fleet(store, tmp_path, **TOKENS, **dollars)


def asks(fleet, agent, request="1", *, prompt=1000, output=LARGE, worth=1, price=PRICE):
    need = TokenNeed(prompt, output, 1, worth)
    step = admit_request(agent, "s", request, need, now=fleet.at, price=price)
    admission = fleet.store.run(step)
    return admission.answer, admission.output_tokens or admission.reason


def closes(fleet, agent, *requests):
    fleet.store.run(close_requests(agent.agent_id, "s", requests, now=fleet.at))


def held(client) -> int:
    return int(client.hget(keys.MODEL_REQUESTS, "$") or 0)


# ── limits ──────────────────────────────────────────────────────────────────────────────────


def test_an_agent_at_its_dollars_is_stopped_and_the_limit_is_named(fleet):
    agent = fleet.running()
    assert fleet.spend(agent, 10, 0.49) == ""
    assert fleet.spend(agent, 11, 0.5) == "The agent has cost $0.5000, its limit is $0.5000."
    heartbeat = leases.heartbeat(agent, lease_s=30, now=fleet.at)
    assert fleet.store.run(heartbeat).startswith("held The agent has cost")


def test_the_request_can_lower_the_limit_and_not_raise_it(fleet):
    low, high = fleet.running(maxCostUsd=0.1), fleet.running(maxCostUsd=10.0)
    assert low.max_cost_usd == 0.1
    assert fleet.spend(low, 1, 0.1) == "The agent has cost $0.1000, its limit is $0.1000."
    assert "its limit is $0.5000" in fleet.spend(high, 1, 0.5)


def test_when_the_dollars_of_the_day_are_spent_all_stop_and_nobody_is_admitted(fleet):
    first, second = fleet.running(), fleet.running()
    fleet.spend(first, 1, 0.4)
    fleet.spend(second, 1, 0.49)
    fleet.store.follow(fleet.budget.set("agentUsd", "5", by="ann", why=""))
    fleet.spend(first, 2, 0.51)
    assert fleet.spend(second, 2, 0.5) == "Of today's $1.00, $1.01 are spent."
    with pytest.raises(DollarsExhausted, match=r"Of today's \$1.00, \$1.01 are spent"):
        fleet.spawn()
    fleet.store.follow(fleet.budget.set("dailyUsd", "$2.50", by="ann", why=""))
    assert fleet.spawn()


def test_the_status_of_the_day_is_the_worse_of_tokens_and_dollars(fleet):
    agent = fleet.running()
    for cost, status in ((0.79, "within_budget"), (0.8, "approaching_limit"), (1.0, "at_limit")):
        fleet.spend(agent, 1, cost)
        found = fleet.summary()
        assert found.status is BudgetStatus(status)
        assert (found.cost_usd, found.percent_usd) == (cost, cost * 100)
    fleet.spend(agent, 1, 1.5)
    reported = [(one.budget, one.used_usd, one.limit_usd) for one in fleet.events("budget.status")]
    assert reported == [
        ("approaching_limit", 0.8, 1), ("at_limit", 1, 1), ("exceeded", 1.5, 1)
    ]  # fmt: skip


def test_in_soft_mode_dollars_are_reported_once_and_stop_nobody(fleet):
    fleet.store.follow(fleet.budget.set("mode", "soft", by="ann", why=""))
    agent = fleet.running()
    for tokens, cost in ((1, 0.4), (2, 0.6), (3, 1.2)):
        assert fleet.spend(agent, tokens, cost) == ""
    [warning] = fleet.events("agent.warning")
    assert (warning.error_code, "$0.6000" in warning.error) == ("budget_exceeded", True)
    assert fleet.spawn()
    assert asks(fleet, agent, price=None) == ("admitted", LARGE)


def test_limits_of_dollars_are_shown_changed_and_reset(fleet):
    in_force = fleet.store.follow(limits(fleet.settings))
    assert (in_force.daily_usd, in_force.agent_usd) == (1.0, 0.5)
    fleet.store.follow(fleet.budget.set("agentUsd", "0.000001", by="ann", why=""))
    in_force = fleet.store.follow(limits(fleet.settings))
    assert (in_force.agent_usd, in_force.changed) == (0.000001, ("agentUsd",))
    in_force = fleet.store.follow(fleet.budget.set("agentUsd", "default", by="ann", why=""))
    assert (in_force.agent_usd, in_force.changed) == (0.5, ())
    for wrong in ("0", "-1", "nan", "1e3", "20 USD", "2000000", "0.0000001"):
        with pytest.raises(LimitInvalid, match=r"^dailyUsd: "):
            fleet.store.follow(fleet.budget.set("dailyUsd", wrong, by="ann", why=""))


def test_without_limits_of_dollars_none_applies(store, tmp_path):
    fleet = Fleet(store, tmp_path)
    agent = fleet.running()
    assert fleet.spend(agent, 1, 900_000.0) == ""
    assert asks(fleet, agent, prompt=50, price=None)[0] == "admitted"
    assert fleet.summary().percent_usd is None


# ── requests behind the proxy ───────────────────────────────────────────────────────────────


def test_an_answer_gets_the_output_that_its_dollars_pay_for(fleet, client):
    agent = fleet.running()
    # $0.50 less $0.01 of the prompt pay for 4,900 tokens.
    assert asks(fleet, agent) == ("admitted", 4900)
    assert held(client) == 5 * 10**8
    fleet.spend(agent, 3000, 0.21)
    closes(fleet, agent, "1")
    assert held(client) == 0
    assert asks(fleet, agent, "2") == ("admitted", 2800)
    closes(fleet, agent, "2")
    fleet.spend(agent, 5000, 0.499)
    assert asks(fleet, agent, "3") == (
        "refused",
        (
            "The agent has cost $0.4990, its limit is $0.5000, and its next request needs up to"
            " $0.0116."
        ),
    )


def test_parallel_requests_share_the_dollars_of_the_day(fleet, client):
    fleet.store.follow(fleet.budget.set("agentUsd", "5", by="ann", why=""))
    first, second = fleet.running(), fleet.running()
    assert asks(fleet, first, output=6000) == ("admitted", 6000)
    assert asks(fleet, second) == ("admitted", 3800)
    assert asks(fleet, second, "2")[0] == "wait"
    closes(fleet, first, "1")
    assert asks(fleet, second, "2") == ("admitted", 6000)
    assert held(client) == 10**9
    fleet.store.run(recount([first.agent_id]))
    assert held(client) == 10**9
    fleet.store.run(recount([second.agent_id]))
    assert held(client) == 0


def test_the_lower_of_tokens_and_dollars_counts(fleet):
    agent = fleet.running()
    cheap = Price(input=0, output=0.001)
    assert asks(fleet, agent, price=cheap, output=10**9) == ("admitted", 999_000)
    closes(fleet, agent, "1")
    free = Price(input=0, output=0)
    assert asks(fleet, agent, "2", price=free, output=1000) == ("admitted", 1000)


def test_a_request_to_a_model_without_a_price_is_refused_where_dollars_are_limited(fleet):
    agent = fleet.running()
    answer, reason = asks(fleet, agent, price=None)
    assert (answer, "has no price" in reason) == ("unpriced", True)


@pytest.mark.parametrize("name", ["BUDGET_DAILY_USD", "BUDGET_PER_AGENT_USD"])
def test_a_limit_of_the_day_or_of_the_agent_counts_without_the_other(store, tmp_path, name):
    fleet = Fleet(store, tmp_path, **TOKENS, **{name: "0.10"})
    agent = fleet.running()
    assert asks(fleet, agent, price=None)[0] == "unpriced"
    assert asks(fleet, agent) == ("admitted", 900)


# ── spawns ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_limited", [True, False])
def test_a_spawn_with_a_model_without_a_price_is_refused_where_dollars_are_limited(
    store, tmp_path, is_limited
):
    fleet = Fleet(store, tmp_path)
    fleet.door = replace(
        fleet.door,
        defaults={AgentType.WORKER: ModelChoice(agent="scripted", model="m-1")},
        has_price=lambda model: model != "m-1",
    )
    more = {"maxCostUsd": 1.0} if is_limited else {}
    if is_limited:
        with pytest.raises(PriceUnknown, match="the model m-1 has no price"):
            fleet.spawn(**more)
        fleet.store.run(publish(load_settings({**LIMITS, "BUDGET_MODE": "soft"})))
    assert fleet.spawn(**more)
