"""The page shows what the server says of who needs somebody: it has no rules of its own."""

from __future__ import annotations

from datetime import timedelta

from playwright.sync_api import expect

from orchestrator.models import Halt
from orchestrator.store import halt
from orchestrator.store.operations import command, nothing
from tests.attention_cases import AGENT, CASES, NOW, QUEUED, Case

#: At most so many of the newest agents are read at the start: 100, then pages of 500 (`fleet.js`).
MOST = 2100
SHOWN = (
    "push failed", "disk full", "95 % of its tokens", "lost three times", "conflicts",
    "superseded", "its queue is paused", "no disk", "works",
)  # fmt: skip


def test_each_case_is_shown_as_the_server_says(seeded, server, store):
    board, _ = seeded
    for case in (case for case in CASES if case.name in SHOWN):
        store.run(command("FLUSHALL", decode=nothing))
        case.put(store)
        said = server.get(f"/agents/{AGENT}/why").json()
        board.open()
        row = board.row(AGENT)
        if "rank" not in said:
            expect(row).not_to_have_attribute("data-concern", "yes")
            continue
        expect(row).to_have_attribute("data-concern", "yes")
        expect(row.locator(".text")).to_have_text(said["why"])
        row.click()
        detail = board.page.get_by_role("complementary", name="Agent")
        expect(detail.locator(".need .command code")).to_have_text(said["command"])


def test_a_halt_marks_what_waits_while_the_page_is_open_and_its_end_unmarks_it(seeded, store):
    board, seed = seeded
    waits = Case("waits", (None, "", "", ""), QUEUED)
    waits.put(store)
    runs = seed.make("running").agent_id
    board.open()
    expect(board.row(AGENT)).not_to_have_attribute("data-concern", "yes")
    store.run(halt.set_halt(Halt(by="ada", why="a leak", at=NOW)))
    expect(board.row(AGENT)).to_have_attribute("data-concern", "yes")
    expect(board.row(AGENT)).to_contain_text("halted by ada: a leak")
    expect(board.row(runs)).not_to_have_attribute("data-concern", "yes")
    store.run(halt.lift_halt())
    expect(board.row(AGENT)).not_to_have_attribute("data-concern", "yes")


def test_an_old_agent_is_listed_and_the_count_says_that_there_may_be_more(seeded):
    board, seed = seeded
    old = seed.make("failed", age=timedelta(days=2)).agent_id
    board.open()
    urgent = board.page.locator('#filters [data-filter="attention"]')
    expect(urgent).to_have_text("Needs attention 1")
    expect(board.page.locator("#capped")).to_be_hidden()
    for _ in range(MOST):
        seed.make("queued")
    board.open()
    expect(board.row(old)).to_have_attribute("data-concern", "yes")
    expect(urgent).to_have_text("Needs attention at least 1")
    expect(board.page.locator("#capped")).to_contain_text("there may be more that need attention")
    assert board.page.title() == "(at least 1) Agents"
