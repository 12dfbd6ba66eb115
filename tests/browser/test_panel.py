"""The panel of an agent links its pull request, and names conflicts and the commands of gates."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from orchestrator.models import Conflict, GateResult, GateStatus
from orchestrator.store import changes
from tests.browser.seeding import alter

pytestmark = pytest.mark.timeout(180)

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
