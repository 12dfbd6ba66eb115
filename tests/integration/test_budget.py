"""The budget in a real Valkey: admission, settling, places, and what is told of them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import redis
from starlette.testclient import TestClient

from orchestrator.api.app import create_app
from orchestrator.audit.log import read_entries
from orchestrator.control.budget import BudgetService
from orchestrator.control.submit import SubmitService
from orchestrator.errors import BudgetExceeded, BudgetExhausted, LeaseLost, WorkerStopping
from orchestrator.host.processes import Host
from orchestrator.leases.attempt_result import Reschedule
from orchestrator.leases.holder import AgentLeases
from orchestrator.maintenance.consistency import ConsistencyCheck
from orchestrator.maintenance.rescuer import LOST_AFTER_S, Rescuer
from orchestrator.messages import queue_key
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
from orchestrator.queries.budget import summary
from orchestrator.settings import load_settings
from orchestrator.stages.gate_check.pipeline import GateCheckStage
from orchestrator.store import agents, keys, kills, leases
from orchestrator.store.budget import apply_limits, publish
from orchestrator.store.events import read_events
from orchestrator.wiring import audit

LIMITS = {
    "BUDGET_DAILY_TOKENS": "1000",
    "BUDGET_PER_AGENT_TOKENS": "500",
    "BUDGET_RESERVATION": "100",
    "MAX_CONCURRENT_AGENTS": "2",
}


class Fleet:
    """A fleet whose clock is moved by hand, and which was told its limits."""

    def __init__(self, store, home, **limits: str) -> None:
        self.store = store
        self.at = datetime(2026, 1, 1, 12, tzinfo=UTC)
        numbers = iter(range(100_000))
        self.new_id = lambda: f"id-{next(numbers)}"
        self.settings = load_settings({**LIMITS, "ORCHESTRATOR_HOME": str(home), **limits})
        self.door = SubmitService("scripted", frozenset({"scripted"}), lambda: self.at, self.new_id)
        self.holder = AgentLeases(
            store, lambda: self.at, self.new_id, worker="w@here", process="1:1", lease_s=30
        )
        self.monitor = Rescuer(self.holder, retention_s=1e6)
        self.budget = BudgetService(self.settings, lambda: self.at, audit(self.settings).append)
        store.run(publish(self.settings))

    def spawn(self, agent_id: str = "", **changes: object) -> str:
        context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
        body = {"taskId": "t", "agentType": "worker", "context": context, **changes}
        self.at += timedelta(milliseconds=1)
        return self.store.run(self.door.submit(body, agent_id=agent_id)).agent_id

    def running(self, **changes: object):
        return self.holder.start(self.holder.claim(self.spawn(**changes)), base_commit="abc")

    def spend(self, agent, tokens: int, cost_usd: float | None = None) -> str:
        usage = Usage(input_tokens=tokens, total_tokens=tokens, cost_usd=cost_usd)
        return self.holder.charge(agent, {"usage": usage.wire()})

    def summary(self):
        return self.store.follow(summary(self.settings, self.at))

    def counts(self) -> tuple[int, int]:
        found = self.summary()
        return found.used, found.reserved

    def events(self, *kinds: str):
        reported = [entry.event for entry in self.store.run(read_events(after="0-0"))]
        return [event for event in reported if event.type in kinds]


@pytest.fixture
def fleet(store, tmp_path):
    return Fleet(store, tmp_path)


@pytest.fixture
def client(valkey_url):
    with redis.Redis.from_url(valkey_url, decode_responses=True) as connection:
        yield connection


def queued(client) -> list[str]:
    """Take every spawn message, the most urgent first."""
    taken = []
    for priority in range(10, 0, -1):
        while message := client.rpop(queue_key("spawn", priority)):
            taken.append(json.loads(message)["headers"]["id"])
    return taken


# ── tokens ──────────────────────────────────────────────────────────────────────────────────


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
    fleet.holder.enqueue_for_gates(agent, {})
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
    fleet.holder.enqueue_for_gates(done, {})
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


# ── places ──────────────────────────────────────────────────────────────────────────────────


def test_over_the_cap_agents_wait_by_priority_then_age_and_cost_nothing(fleet, client):
    first, second = fleet.running(), fleet.running()
    order = (5, 9, 5, 10)
    waiting = [fleet.spawn(priority=priority) for priority in order]
    queued(client)
    assert [fleet.holder.claim(agent_id) for agent_id in waiting] == [None] * 4
    assert queued(client) == []
    assert {fleet.store.run(agents.read(one)).attempt for one in waiting} == {0}
    assert (fleet.summary().running, fleet.summary().waiting) == (2, 4)
    expected = [waiting[3], waiting[1], waiting[0], waiting[2]]
    for agent in (first, second):
        fleet.holder.enqueue_for_gates(agent, {})
    called = queued(client)
    assert called == expected[:2]
    # A less urgent one that comes by meanwhile takes no place from those who were called.
    late = fleet.spawn(priority=1)
    assert queued(client) == [late]
    assert fleet.holder.claim(late) is None
    for agent_id in called:
        fleet.holder.fail(fleet.holder.claim(agent_id), BudgetExceeded())
    assert queued(client) == expected[2:]
    for agent_id in expected[2:]:
        assert fleet.holder.claim(agent_id) is not None


def test_raising_the_cap_lets_in_who_waits_at_once(fleet, client):
    agents_ = [fleet.spawn() for _ in range(5)]
    queued(client)
    claimed = [fleet.holder.claim(agent_id) for agent_id in agents_]
    assert [agent is not None for agent in claimed] == [True, True, False, False, False]
    fleet.store.follow(fleet.budget.set("concurrency", "4", by="me", why=""))
    assert queued(client) == agents_[2:4]
    assert [fleet.holder.claim(agent_id) is not None for agent_id in agents_[2:]] == [
        True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["sweep", "kill", "stop", "end"])
def test_a_place_comes_back_whatever_ends_its_agent(fleet, client, way):
    held = fleet.running(maxRetries=0)
    fleet.running()
    third = fleet.spawn()
    assert fleet.holder.claim(third) is None
    queued(client)
    if way == "sweep":
        heartbeat = leases.heartbeat
        fleet.at += timedelta(seconds=31)
        other = next(a for a in client.zrange(keys.SLOTS, 0, -1) if a != held.agent_id)
        alive = fleet.store.run(agents.read(other))
        fleet.store.run(heartbeat(alive, lease_s=30, now=fleet.at))
        fleet.monitor.sweep()
    elif way == "kill":
        order = kills.KillOrder("me", "why")
        fleet.store.run(kills.kill([held], order, now=fleet.at, tags=["t"]))
    elif way == "stop":
        fleet.holder.apply(held, Reschedule(WorkerStopping()))
    else:
        fleet.holder.fail(held, BudgetExceeded())
    assert third in queued(client)
    assert held.agent_id not in client.zrange(keys.SLOTS, 0, -1)


def test_who_waits_is_found_by_kills_and_a_lost_call_is_made_again(fleet, client):
    first, _ = fleet.running(), fleet.running()
    lost, killed = fleet.spawn(priority=9), fleet.spawn(priority=10)
    for agent_id in (lost, killed):
        assert fleet.holder.claim(agent_id) is None
    queued(client)
    target = fleet.store.run(agents.read(killed))
    fleet.store.run(kills.kill([target], kills.KillOrder("me", ""), now=fleet.at, tags=["t"]))
    assert client.zrange(keys.WAITING, 0, -1) == [lost]
    fleet.holder.enqueue_for_gates(first, {})
    assert queued(client) == [lost]
    for _ in range(2):
        fleet.at += timedelta(seconds=LOST_AFTER_S)
        fleet.monitor.sweep()
    assert queued(client) == [lost]
    assert fleet.holder.claim(lost) is not None
    assert client.exists(keys.WAITING, keys.UNCALLED) == 0


def test_who_waits_for_a_place_is_sent_no_message_until_it_is_called(fleet, client):
    for _ in range(2):
        fleet.running()
    fleet.holder.claim(fleet.spawn())
    queued(client)
    for _ in range(2):
        fleet.at += timedelta(seconds=LOST_AFTER_S + 1)
        fleet.monitor.sweep()
    assert queued(client) == []


def test_fsck_sees_and_mends_what_disagrees_with_the_states(fleet, client, tmp_path):
    fsck = ConsistencyCheck(
        *(fleet.store, Host(tmp_path), tmp_path, tmp_path / "w"),
        *(lambda: fleet.at, fleet.new_id, lambda _: 0),
    )
    held = fleet.running()
    fleet.running()
    fleet.holder.claim(fleet.spawn())
    assert fsck.check() == ()
    client.hset(keys.RESERVED, "gone", 70)
    client.zadd(keys.SLOTS, {"gone": 1})
    client.zrem(keys.SLOTS, held.agent_id)
    client.zadd(keys.WAITING, {"nobody": 1})
    assert [drift.kind for drift in fsck.check()] == [
        "reservation-of-nobody", "reservations-wrong", "place-of-nobody", "place-missing",
        "waiting-nobody",
    ]  # fmt: skip
    for drift in fsck.check():
        drift.repair()
    assert fsck.check() == ()
    assert fleet.counts() == (0, 300)


# ── who asks ────────────────────────────────────────────────────────────────────────────────


def test_over_http_a_refusal_is_429_with_the_numbers_and_when_to_come_again(
    store, valkey_url, tmp_path
):
    settings = load_settings(
        {**LIMITS, "VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)}
    )
    context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
    body = {"taskId": "t", "agentType": "worker", "context": context, "agent": "scripted"}
    with TestClient(create_app(settings), base_url="http://localhost") as http:
        for _ in range(10):
            assert http.post("/agents/spawn", json=body).status_code == 201
        refused = http.post("/agents/spawn", json=body)
        found = http.get("/budget").json()
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    document = refused.json()
    assert document["type"] == "urn:orchestrator:error:budget_exhausted"
    numbers = [document[name] for name in ("limit", "used", "reserved", "asked")]
    assert numbers == [1000, 0, 1000, 100]
    assert (found["status"], found["reserved"], found["limit"]) == ("within_budget", 1000, 1000)
    assert len(found["agents"]) == 10


def orch(valkey_url, home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "budget", *arguments],
        env={"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_limit_set_by_hand_is_audited_and_wins_over_every_later_start(
    fleet, store, valkey_url, tmp_path
):
    refused = orch(valkey_url, tmp_path, "set", "daily", "0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("orch: daily: must be a number of tokens")
    ran = orch(valkey_url, tmp_path, "set", "daily", "5M", "--why", "release week", "--json")
    assert json.loads(ran.stdout)["dailyTokens"] == 5_000_000
    store.run(publish(fleet.settings))
    shown = fleet.summary()
    assert (shown.limit, shown.limits.changed) == (5_000_000, ("daily",))
    (entry,) = store.follow(read_entries(limit=10))
    assert (entry.action, entry.scope, entry.why) == ("budget", "daily", "release week")
    assert '"dailyTokens":1000,' in entry.before
    assert "5000000 tokens a day" in orch(valkey_url, tmp_path).stdout
    store.follow(fleet.budget.set("daily", "default", by="me", why=""))
    assert fleet.summary().limit == 1000
