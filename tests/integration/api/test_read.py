"""What is read over HTTP is whole, filtered and paged."""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile, GateReport
from orchestrator.store import changes
from tests.integration.api.conftest import problem_of, run_to, say, spawn


def test_what_is_not_there_is_404_and_what_is_not_allowed_405(api):
    agent_id = spawn(api)
    # `<id>:request` is a key of the agent, but no agent.
    for name in ("nobody", f"{agent_id}:request"):
        for what in ("status", "logs", "gates"):
            problem_of(api.get(f"/agents/{name}/{what}"), 404)
    problem_of(api.get("/tasks/none"), 404)
    problem_of(api.get("/nowhere"), 404)
    refused = api.get("/agents/spawn")
    problem_of(refused, 405)
    assert "POST" in refused.headers["allow"]


def test_the_list_is_filtered_and_paged_newest_first(api, holder):
    ids = [spawn(api, taskId=f"t{n % 2}", agentType=("worker", "tester")[n % 2]) for n in range(4)]
    run_to(holder, ids[0])

    def listed(**query):
        return [agent["agentId"] for agent in api.get("/agents", params=query).json()["agents"]]

    assert set(listed()) == set(ids)
    assert listed(status="running") == [ids[0]]
    assert set(listed(agentType="tester")) == {ids[1], ids[3]}
    assert set(listed(taskId="t0")) == {ids[0], ids[2]}
    assert listed(taskId="t1", status="running") == []
    first = api.get("/agents", params={"limit": 3}).json()
    rest = api.get("/agents", params={"limit": 3, "cursor": first["nextCursor"]}).json()
    assert len(first["agents"]) == 3
    assert "nextCursor" not in rest
    assert {agent["agentId"] for agent in first["agents"] + rest["agents"]} == set(ids)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"status": "dead"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_filter_is_named(api, query, path):
    document = problem_of(api.get("/agents", params=query), 422)
    assert [fault["path"] for fault in document["errors"]] == [path]


def test_a_cursor_of_no_agent_is_unknown(api):
    problem = problem_of(api.get("/agents", params={"cursor": "nobody"}), 404)
    assert problem["type"] == "urn:orchestrator:error:cursor_unknown"


def test_a_task_shows_its_agents_whatever_its_name(api, holder):
    first, second = (spawn(api, taskId="feature/ü 1") for _ in range(2))
    run_to(holder, second)
    document = api.get("/tasks/feature%2F%C3%BC%201").json()
    assert (document["taskId"], document["status"]) == ("feature/ü 1", "executing")
    assert {agent["agentId"] for agent in document["agents"]} == {first, second}


def test_gate_reports_are_listed_oldest_first(api, store):
    agent_id = spawn(api)
    assert api.get(f"/agents/{agent_id}/gates").json() == {"reports": []}
    for attempt in (1, 2):
        report = GateReport(
            agent_id=agent_id,
            attempt=attempt,
            stage="pre-commit",
            profile=GateProfile.MINIMAL,
            tree="a" * 40,
            plan_digest="d",
            approved=attempt == 2,
        )
        store.run(changes.append_report(report))
    reports = api.get(f"/agents/{agent_id}/gates").json()["reports"]
    assert [report["approved"] for report in reports] == [False, True]


def test_logs_come_in_pages(api, store, holder):
    agent = run_to(holder, spawn(api))
    path = f"/agents/{agent.agent_id}/logs"
    assert api.get(path).json() == {"lines": []}
    say(store, agent, "one", "two", "three")
    first = api.get(path, params={"limit": 2}).json()
    assert [line["text"] for line in first["lines"]] == ["one", "two"]
    assert first["lines"][0].keys() == {"id", "at", "source", "text"}
    rest = api.get(path, params={"limit": 2, "cursor": first["nextCursor"]}).json()
    assert [line["text"] for line in rest["lines"]] == ["three"]
    assert "nextCursor" not in rest
    problem_of(api.get(path, params={"cursor": "9" * 20 + "-0"}), 422)
