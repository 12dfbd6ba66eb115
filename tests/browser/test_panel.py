"""The panel of an agent says what it was asked for, why it waits, and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from orchestrator.models import Conflict, GateResult, GateStatus
from orchestrator.store import agents, changes, keys, workers
from orchestrator.store.operations import command, nothing
from tests.browser.seeding import alter

URL = "https://git.example.org/shop/pull/7"


@pytest.mark.parametrize(("url", "count"), [(URL, 1), ("javascript:alert(1)", 0)])
def test_the_request_is_a_link_of_the_web_and_conflicts_are_named(seeded, store, url, count):
    board, seed = seeded
    agent_id = seed.make("completed").agent_id
    conflicts = (Conflict(path="a/<b>.py", kind="contents"), Conflict(path="c", kind="add/add"))
    alter(store, agent_id, request_url=url, conflicts=conflicts)
    board.open(f"#/agents/{agent_id}")
    detail = board.page.get_by_role("complementary", name="Agent")
    expect(detail.get_by_text("in conflict with main: a/<b>.py, c")).to_be_visible()
    link = detail.get_by_role("link", name=URL)
    expect(link).to_have_count(count)
    if count:
        assert link.get_attribute("href") == URL
        assert link.get_attribute("rel") == "noreferrer"


def test_each_gate_shows_its_command(seeded, store):
    board, seed = seeded
    agent = seed.make("rejected")
    (report, *_) = store.run(changes.read_reports(agent.agent_id))
    ran = GateResult(name="tests", status=GateStatus.FAILED, command="pytest -q <x>")
    store.run(changes.append_report(report.model_copy(update={"gates": (ran,)})))
    board.open(f"#/agents/{agent.agent_id}/gates")
    detail = board.page.get_by_role("complementary", name="Agent")
    expect(detail.get_by_text("pytest -q <x>")).to_be_visible()


def test_it_shows_what_was_asked_for(seeded, store):
    board, seed = seeded
    agent_id = seed.make("running").agent_id
    request = store.run(agents.read_request(agent_id))
    items = ("Fix the rounding <b>", "Add a test\n  for it")
    context = request.context.model_copy(update={"work_items": items})
    document = request.model_copy(update={"context": context}).model_dump_json(by_alias=True)
    store.run(command("SET", keys.request(agent_id), document, decode=nothing))
    board.open(f"#/agents/{agent_id}")
    detail = board.page.get_by_role("complementary", name="Agent")
    detail.get_by_text("Asked: Fix the rounding <b>, and 1 more item").click()
    expect(detail.get_by_role("listitem").filter(has_text="for it")).to_have_text(items[1])


def test_a_waiting_agent_shows_why_and_its_place_in_line(seeded, store, server):
    board, seed = seeded
    store.run(workers.announce("spawn@here", now=datetime.now(UTC) + timedelta(hours=1)))
    ids = [seed.make("queued").agent_id for _ in range(3)]
    places = set()
    for agent_id in ids:
        why = server.get(f"/agents/{agent_id}/why").json()
        places.add(why["placeInLine"])
        board.open(f"#/agents/{agent_id}")
        detail = board.page.get_by_role("complementary", name="Agent")
        expect(detail.locator(".need")).to_have_text(why["why"])
        assert f"number {why['placeInLine']} in line" in why["why"]
    assert places == {1, 2, 3}
