"""The panel of an agent shows the work that its push does not contain, and how to get it."""

from __future__ import annotations

from playwright.sync_api import expect

from orchestrator.models import LeftOut, NotSaved, Retained
from tests.browser.seeding import alter

WORK = {
    "retained": (
        Retained(ref="refs/heads/feature/x", commit="ab" * 20, subject="the work", kind="branch"),
        Retained(ref="stash@{0}", commit="cd" * 20, subject="<b>WIP</b>", kind="stash"),
    ),
    "left_out": (LeftOut(reason="dropping", count=12, paths=("node_modules", "<img src=x>")),),
    "unfinished": ("a merge was begun and not finished",),
    "not_saved": NotSaved(attempt=2, reason="fatal: no.", host="here", path="/w/.unsaved/a.2"),
}


def test_work_outside_the_push_is_named_with_its_command(seeded, store):
    board, seed = seeded
    agent_id = seed.make("failed").agent_id
    alter(store, agent_id, **WORK)
    board.open(f"#/agents/{agent_id}")
    detail = board.page.get_by_role("complementary", name="Agent")
    work = detail.locator(".outside")
    expect(work.locator("summary")).to_have_text(
        "Work outside the push: not stored, 2 retained commits, 12 left out, 1 unfinished operation"
    )
    # Work that is on one host alone is shown at once.
    expect(work.get_by_text("here:/w/.unsaved/a.2")).to_be_visible()
    expect(work.get_by_text("Attempt 2: fatal: no.")).to_be_visible()
    expect(work.get_by_text("stash@{0} (stash, cdcdcdcdcdcd) <b>WIP</b>")).to_be_visible()
    expect(work.get_by_text("dropping: node_modules, <img src=x> and 10 more")).to_be_visible()
    commands = work.locator(".command code")
    expect(commands).to_have_text([f"orch export {agent_id}", f"orch diff {agent_id}"])


def test_an_agent_whose_push_has_all_shows_nothing(seeded):
    board, seed = seeded
    agent_id = seed.make("completed").agent_id
    board.open(f"#/agents/{agent_id}")
    detail = board.page.get_by_role("complementary", name="Agent")
    expect(detail.locator(".crown")).to_be_visible()
    expect(detail.locator(".outside")).to_have_count(0)
