"""Tokens are reserved, charged and released, and limits end agents."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.errors import BudgetExceeded, BudgetExhausted, LeaseLost
from orchestrator.leases.attempt_result import Reschedule
from orchestrator.models import (
    BudgetStatus,
    GateProfile,
    GateReport,
    GateResult,
    GateStatus,
    Stage,
    Status,
    Usage,
)
from orchestrator.settings import load_settings
from orchestrator.stages.gate_check.stage import GateCheckStage
from orchestrator.store import agents, keys, kills, leases
from orchestrator.store.budget import apply_limits, publish
from tests.integration.budget.conftest import LIMITS, Fleet


def test_a_spawn_that_cannot_reserve_leaves_nothing_behind(fleet, client):
    for _ in range(10):
        fleet.spawn()
    before = {key: client.type(key) for key in client.scan_iter("*")}
    with pytest.raises(BudgetExhausted) as refused:
        fleet.spawn("one-too-many")
    error = refused.value
    assert (error.limit, error.used, error.reserved, error.asked) == (1000, 0, 1000, 100)
    assert error.resets_in_s == 12 * 3600
    assert {key: client.type(key) for key in client.scan_iter("*")} == before
    # Who was admitted already is asked again: the same answer, and no second reservation.
    assert fleet.spawn("id-0") == "id-0"
    assert fleet.counts() == (0, 1000)


def test_what_is_spent_comes_out_of_the_reservation_first_and_the_rest_returns(fleet):
    agent = fleet.running()
    assert fleet.counts() == (0, 100)
    for tokens, counts in ((60, (60, 40)), (60, (60, 40)), (150, (150, 0)), (200, (200, 0))):
        fleet.spend(agent, tokens)
        assert fleet.counts() == counts
    other = fleet.running()
    fleet.spend(other, 30)
    fleet.holder.fail(other, BudgetExceeded())
    assert fleet.counts() == (230, 0)
    fleet.holder.fail(other, BudgetExceeded())
    assert fleet.counts() == (230, 0)


@pytest.mark.parametrize(
    "usage",
    [
        {"inputTokens": 49, "totalTokens": 49},
        {"inputTokens": "60", "totalTokens": "60"},
        {"inputTokens": 60.5, "totalTokens": 60.5},
        {"inputTokens": -60, "totalTokens": 60},
        {"inputTokens": 1e300, "totalTokens": 1e300},
        {"inputTokens": None, "totalTokens": [60]},
        "60",
    ],
)
def test_a_report_that_is_none_is_refused_and_told_and_the_rest_of_the_move_stands(fleet, usage):
    agent = fleet.running()
    fleet.spend(agent, 50)
    fleet.holder.update(agent, {"usage": usage, "summary": "written"})
    now_is = fleet.store.run(agents.read(agent.agent_id))
    assert (now_is.usage.total_tokens, now_is.summary) == (50, "written")
    assert fleet.counts() == (50, 50)
    (reported,) = fleet.events("agent.warning")
    assert reported.error_code == "usage_refused"


def test_an_agent_at_its_limit_is_told_by_its_report_and_by_each_heartbeat(fleet):
    agent = fleet.running()
    assert fleet.spend(agent, 499) == ""
    heartbeat = leases.heartbeat(agent, lease_s=30, now=fleet.at)
    assert fleet.store.run(heartbeat) == "held"
    assert fleet.spend(agent, 500) == "The agent has spent 500 tokens, its limit is 500."
    assert fleet.store.run(heartbeat) == "held The agent has spent 500 tokens, its limit is 500."


def test_who_has_nothing_left_to_spend_is_not_started_again(fleet, client):
    agent = fleet.running()
    fleet.spend(agent, 500)
    fleet.holder.apply(agent, Reschedule(LeaseLost(), counts=True))
    assert fleet.holder.claim(agent.agent_id) is None
    ended = fleet.store.run(agents.read(agent.agent_id))
    assert (ended.status, ended.error_code) == (Status.FAILED, "budget_exceeded")
    assert client.zcard(keys.SLOTS) == 0


def test_when_the_day_is_spent_who_has_a_reservation_left_goes_on(fleet):
    fleet.store.run(publish(load_settings({**LIMITS, "BUDGET_PER_AGENT_TOKENS": "5000"})))
    first, second = fleet.running(), fleet.running()
    fleet.spend(second, 10)
    assert fleet.spend(first, 899) == ""
    # 900 + 10 spent, 90 held by the second: nothing is left for the first.
    assert "Of today's 1000 tokens 910 are spent and 90 reserved" in fleet.spend(first, 900)
    assert fleet.spend(second, 99) == ""
    assert fleet.spend(second, 100) != ""
    with pytest.raises(BudgetExhausted):
        fleet.spawn()


def test_a_reviewers_tokens_are_those_of_the_agent_it_judges(fleet):
    agent = fleet.running()
    fleet.spend(agent, 150, 0.5)
    fleet.holder.enqueue_for_gates(agent, {}, b"change")
    judged = fleet.holder.claim_for_gates(agent.agent_id, 1)
    review = GateResult(
        name="ai-review",
        status=GateStatus.PASSED,
        usage=Usage(input_tokens=40, total_tokens=40),
    )
    report = GateReport(
        agent_id=agent.agent_id,
        attempt=1,
        stage=Stage.POST_COMMIT,
        profile=GateProfile.STRICT,
        tree="t",
        plan_digest="d",
        approved=True,
        gates=(review,),
    )
    check = GateCheckStage(fleet.holder, *[None] * 9)
    check._count_tokens(judged, report)
    usage = fleet.store.run(agents.read(agent.agent_id)).usage
    assert (usage.total_tokens, usage.cost_usd) == (190, 0.5)
    assert fleet.counts() == (190, 0)


def test_at_midnight_a_new_day_begins_and_who_runs_on_spends_of_it(fleet):
    agent = fleet.running()
    fleet.spend(agent, 450)
    fleet.at += timedelta(hours=12)
    assert fleet.counts() == (0, 0)
    fleet.spend(agent, 480)
    assert fleet.counts() == (30, 0)
    (row,) = fleet.summary().agents
    assert (row.tokens_today, row.tokens) == (30, 480)


def test_each_change_of_the_days_status_is_told_once(fleet):
    fleet.store.run(publish(load_settings({**LIMITS, "BUDGET_PER_AGENT_TOKENS": "5000"})))
    agent = fleet.running()
    for tokens in (100, 799, 800, 801, 1000, 1001, 1002):
        fleet.spend(agent, tokens)
    fleet.store.follow(fleet.budget.set("daily", "5k", by="me", why=""))
    fleet.store.follow(fleet.budget.set("daily", "1200", by="me", why=""))
    fleet.at += timedelta(days=1)
    for _ in range(2):
        fleet.store.run(apply_limits(fleet.at))
    reported = fleet.events("budget.status")
    assert [(event.budget, event.used, event.limit) for event in reported] == [
        (BudgetStatus.APPROACHING_LIMIT, 800, 1000),
        (BudgetStatus.AT_LIMIT, 1000, 1000),
        (BudgetStatus.EXCEEDED, 1001, 1000),
        (BudgetStatus.WITHIN_BUDGET, 1002, 5000),
        (BudgetStatus.APPROACHING_LIMIT, 1002, 1200),
        (BudgetStatus.WITHIN_BUDGET, 0, 1200),
    ]
    assert [event.agent_id for event in reported[2:4]] == [agent.agent_id, ""]


def test_in_soft_mode_all_is_told_and_nobody_is_stopped(store, tmp_path):
    fleet = Fleet(store, tmp_path, BUDGET_MODE="soft")
    agent = fleet.running()
    for tokens in (499, 500, 501, 2000):
        assert fleet.spend(agent, tokens) == ""
    assert store.run(leases.heartbeat(agent, lease_s=30, now=fleet.at)) == "held"
    assert [event.error_code for event in fleet.events("agent.warning")] == ["budget_exceeded"]
    assert [event.budget for event in fleet.events("budget.status")] == [BudgetStatus.EXCEEDED]
    assert fleet.spawn()


def test_the_summary_tells_what_came_of_the_tokens(fleet):
    fleet.store.run(publish(load_settings({**LIMITS, "MAX_CONCURRENT_AGENTS": "9"})))
    done, failed, killed, running = (fleet.running() for _ in range(4))
    for agent, tokens in ((done, 100), (failed, 200), (killed, 50), (running, 25)):
        fleet.spend(agent, tokens, tokens / 100)
    fleet.holder.fail(failed, BudgetExceeded())
    order = kills.KillOrder("me", "why")
    fleet.store.run(kills.kill([killed], order, now=fleet.at, tags=["t"]))
    fleet.holder.enqueue_for_gates(done, {}, b"change")
    fleet.holder.complete(fleet.holder.claim_for_gates(done.agent_id, 1), {})
    found = fleet.summary()
    assert (found.day, found.status, found.percent) == ("2026-01-01", "within_budget", 37.5)
    assert (found.used, found.reserved, found.cost_usd) == (375, 75, 3.75)
    spends = (found.delivered, found.in_nothing, found.unfinished)
    assert [(one.agents, one.tokens, one.cost_usd) for one in spends] == [
        (1, 100, 1.0), (2, 250, 2.5), (1, 25, 0.25),
    ]  # fmt: skip
    assert sum(row.tokens_today for row in found.agents) == found.used
    first = found.agents[0]
    assert (first.agent_id, first.status) == (failed.agent_id, Status.FAILED)
    assert (first.percent, first.percent_of_day, first.cost_usd_today) == (40.0, 53.3, 2.0)
