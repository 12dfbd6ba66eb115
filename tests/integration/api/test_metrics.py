"""The metrics: what has happened is counted once, whoever asks and however often."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.errors import AgentFailed, LeaseLost
from orchestrator.models import GateProfile, GateReport, GateResult
from orchestrator.store import changes, kills, metrics, sweeps, workers
from orchestrator.wiring import clock
from tests.integration.api.conftest import run_to, serving, spawn

DEPLOY = Path(__file__).parents[3] / "deploy"


def scrape(api):
    """Return every sample by its name and labels."""
    answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def live_through(api, store, holder):
    """Let agents start, fail, be recovered and be killed."""
    agent = run_to(holder, spawn(api))
    usage = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12, "costUsd": 0.25}
    agent = holder.update(agent, {"usage": usage})
    report = GateReport(
        agent_id=agent.agent_id,
        attempt=1,
        stage="pre-commit",
        profile=GateProfile.MINIMAL,
        tree="a" * 40,
        plan_digest="d",
        approved=False,
        gates=(GateResult(name="tests", status="failed"),),
    )
    store.run(changes.append_report(report))
    holder.fail(agent, AgentFailed())
    holder.recover(run_to(holder, spawn(api)), LeaseLost())
    held, idle = run_to(holder, spawn(api)).agent_id, spawn(api)
    api.post(f"/agents/{idle}/kill")
    api.post(f"/agents/{held}/kill", json={"timeout": 0})
    assert scrape(api)["orchestrator_kills_unconfirmed",] == 1
    store.run(kills.add_to_receipt(held, {"confirmed": True, "confirmedBy": "worker"}))


@pytest.fixture
def two(valkey_url):
    """Two API processes on one Valkey."""
    with serving(valkey_url) as (one, _), serving(valkey_url) as (other, _):
        yield one, other


def test_each_event_is_counted_once_by_two_servers_asked_at_once(two, store, holder):
    for _ in range(3):
        live_through(two[0], store, holder)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: two[number % 2].get("/metrics"), range(16)))
    for api in two:
        reported = scrape(api)
        assert reported["orchestrator_agents_ended_total", "agent_failed", "failed"] == 3
        assert reported["orchestrator_agents_ended_total", "agent_killed", "killed"] == 6
        assert reported["orchestrator_tokens_total", "input"] == 15
        assert reported["orchestrator_tokens_total", "output"] == 21
        assert reported["orchestrator_cost_usd_total",] == 0.75
        assert reported["orchestrator_gate_results_total", "failed", "tests"] == 3
        assert reported["orchestrator_recoveries_total",] == 3
        assert reported["orchestrator_spawn_to_running_seconds_count",] == 9
        assert reported["orchestrator_spawn_to_running_seconds_bucket", "+Inf"] == 9
        assert reported["orchestrator_kill_seconds_count",] == 6
        assert reported["orchestrator_kills_unconfirmed",] == 0
        assert reported["orchestrator_agents", "killed"] == 6
        assert reported["orchestrator_agents", "running"] == 3


def test_a_stretch_that_another_has_counted_meanwhile_is_not_counted_again(two, store, holder):
    live_through(two[0], store, holder)
    before = scrape(two[0])
    late = metrics.aggregate("events", {"recoveries": 1}, after="0-0", upto="9-9")
    assert not store.run(late)
    for name in ("orchestrator_recoveries_total", "orchestrator_spawn_to_running_seconds_sum"):
        assert scrape(two[1])[name,] == before[name,]


def test_dashboard_and_alerts_ask_for_metrics_that_there_are(two, store, holder):
    live_through(two[0], store, holder)
    store.run(workers.announce("spawn@here", now=clock()))
    store.run(workers.record_skew("spawn@here", 0.1))
    store.run(sweeps.record(sweeps.Sweeper.SCHEDULER, now=clock()))
    there = {name for name, *_ in scrape(two[0])}
    for file in ("grafana/orchestrator.json", "prometheus/alerts.yaml"):
        document = json.dumps(yaml.safe_load((DEPLOY / file).read_text()))
        asked = set(re.findall(r"orchestrator_\w+", document))
        assert asked
        assert asked <= there
