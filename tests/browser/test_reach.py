"""For everybody: by keyboard, by screen reader, in light and dark, with a key; and the order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from orchestrator.store import keys
from orchestrator.store.operations import command
from tests.browser.conftest import browsing
from tests.browser.seeding import Seed
from tests.integration.api.conftest import serving


def faults_of(page):
    """What axe-core finds, of any impact."""
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(seeded, scheme):
    board, seed = seeded
    seed.fill(40)
    rejected = seed.make("rejected")
    seed.make("stalled")
    seed.limit(daily=31_000_000, concurrency=6)
    page = board.page
    page.emulate_media(color_scheme=scheme)
    board.open()
    expect(board.row(rejected.agent_id)).to_be_visible()
    if scheme == "light":
        board.shot("list")
    assert faults_of(page) == []
    for tab in ("output", "timeline", "gates", "record"):
        board.open(f"#/agents/{rejected.agent_id}/{tab}")
        expect(page.get_by_text("Reading…")).to_have_count(0)
        assert faults_of(page) == [], tab
        if (scheme, tab) == ("light", "gates"):
            board.shot("panel")
    page.get_by_role("button", name="Kill all").click()
    assert faults_of(page) == []
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Close").click()
    if scheme == "light":
        board.shot("phone")
    assert faults_of(page) == []


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_each_queue_and_limit_is_in_view_without_scrolling(seeded, width):
    board, seed = seeded
    seed.fill(40)
    waits = seed.make("rejected")
    seed.limit(daily=31_000_000, concurrency=6)
    page = board.page
    page.set_viewport_size({"width": width, "height": 844})
    board.open()
    cells = page.locator("#strip .cell")
    expect(cells).to_have_count(5)
    for cell in cells.all():
        box = cell.bounding_box()
        assert box["x"] >= 0, cell.text_content()
        assert box["x"] + box["width"] <= width, cell.text_content()
    cut = "all => all.filter((a) => a.scrollWidth > a.clientWidth).map((a) => a.innerHTML)"
    assert page.locator("#strip, #strip *, #trends summary").evaluate_all(cut) == []
    expect(board.row(waits.agent_id)).to_be_in_viewport(ratio=1)
    # No control of the header is cut, even next to the longest word on the connection.
    page.evaluate("document.getElementById('connection-text').textContent = 'Connection lost'")
    for control in page.locator(".top button").all():
        expect(control).to_be_in_viewport(ratio=1)
    board.row(waits.agent_id).click()
    expect(page.get_by_role("tab", name="Output")).to_be_in_viewport(ratio=1)


def test_an_empty_list_says_how_to_begin(seeded):
    board, _ = seeded
    board.open()
    expect(board.page.get_by_text("orch spawn")).to_be_visible()
    expect(board.page.get_by_role("button", name="Kill all…")).to_be_disabled()
    board.shot("empty")


def test_an_agent_whose_record_is_gone_leaves_the_list(seeded, store):
    board, seed = seeded
    gone, stays = seed.make("running"), seed.make("running")
    board.open()
    expect(board.row(gone.agent_id)).to_be_visible()
    store.run(command("UNLINK", keys.agent(gone.agent_id), decode=int))
    expect(board.row(gone.agent_id)).to_have_count(0)
    expect(board.row(stays.agent_id)).to_be_visible()


def test_everything_is_reached_by_keyboard(seeded):
    board, seed = seeded
    made = [seed.make("running", age=timedelta(minutes=at)).agent_id for at in range(3)]
    board.open()
    page = board.page
    press = page.keyboard.press
    press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    press("Escape")
    expect(board.row(made[0])).to_be_focused()
    press("j")
    expect(board.row(made[1])).to_be_focused()
    press("ArrowDown")
    press("k")
    expect(board.row(made[1])).to_be_focused()
    press("Enter")
    heading = page.get_by_role("complementary").get_by_role("heading")
    expect(heading).to_be_focused()
    # Out of the panel and back to where one was. Its request is read late.
    asked = page.locator("details.asked > summary")
    expect(asked).to_be_visible()
    press("Tab")
    expect(asked).to_be_focused()
    press("Tab")
    expect(page.get_by_role("tab", name="Output")).to_be_focused()
    press("ArrowRight")
    expect(page.get_by_role("tab", name="Timeline")).to_be_focused()
    expect(page.get_by_role("tabpanel")).to_contain_text("running")
    press("Escape")
    expect(board.row(made[1])).to_be_focused()
    assert page.url.endswith("#/")
    # One stop for the whole list: Tab leaves it.
    assert page.locator('.row.agent[tabindex="0"]').count() == 1


def test_a_focus_out_of_sight_is_not_lost(seeded):
    board, seed = seeded
    seed.fill(300)
    board.open()
    page = board.page
    page.keyboard.press("j")
    page.locator(".grid").evaluate("grid => grid.scrollTo(0, 5000)")
    expect(page.locator(".grid")).to_be_focused()
    page.keyboard.press("j")
    assert page.locator(":focus").get_attribute("data-id")
    page.keyboard.press("End")
    last = page.locator(".row.agent").last
    expect(last).to_be_focused()
    # Few of them exist, and each says where in the whole it stands.
    assert page.locator(".row.agent").count() < 60
    total = int(page.locator(".grid").get_attribute("aria-rowcount"))
    assert int(last.get_attribute("aria-rowindex")) == total


def test_who_needs_somebody_comes_first_and_is_found(seeded):
    board, seed = seeded
    kinds = ("completed", "running", "queued", "stalled", "rejected", "failed", "killed")
    made = {kind: seed.make(kind, age=timedelta(minutes=9)) for kind in kinds}
    tasks = {kind: agent.task_id for kind, agent in made.items()}
    board.open()
    page = board.page
    expect(page.locator(".row.agent")).to_have_count(len(kinds))
    shown = board.shown()
    assert set(shown[:2]) == {tasks["rejected"], tasks["failed"]}
    assert shown[2:5] == [tasks["stalled"], tasks["running"], tasks["queued"]]
    expect(board.row(made["failed"].agent_id)).to_contain_text("protected branch")
    expect(board.row(made["failed"].agent_id)).to_contain_text("its work is kept")

    filters = page.get_by_role("group", name="Show")
    for name, count in (
        ("All", 7), ("Needs attention", 3), ("Running", 2), ("Waiting", 1), ("Completed", 1),
        ("Failed", 2), ("Killed", 1),
    ):  # fmt: skip
        button = filters.get_by_role("button", name=name)
        expect(button).to_contain_text(str(count))
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".row.agent")).to_have_count(count)
    filters.get_by_role("button", name="All").click()
    page.get_by_role("searchbox").fill("PROTECTED hook")
    expect(page.locator(".row.agent")).to_have_count(1)
    page.get_by_role("searchbox").fill("nobody")
    expect(page.get_by_text("No agent matches this search.")).to_be_visible()


def test_a_key_is_asked_for_and_stays_in_the_tab(browser, valkey_url, store):
    agent = Seed(store).make("running")
    key = "a-key-of-somebody-0123456789"
    with (
        serving(valkey_url, ORCHESTRATOR_API_KEY=key) as (api, _),
        browsing(browser, str(api.base_url)) as board,
    ):
        page = board.page
        page.goto(board.url)
        dialog = page.get_by_role("dialog", name="An API key, please")
        for wrong in ("wrong", key):
            expect(dialog).to_have_count(1)
            assert faults_of(page) == []
            dialog.get_by_label("API key").fill(wrong)
            page.keyboard.press("Enter")
        expect(board.row(agent.agent_id)).to_be_visible()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        board.row(agent.agent_id).click()
        expect(page.get_by_role("log")).to_contain_text("Reading")
        # Nowhere but in this tab, and in no address.
        assert page.context.cookies() == []
        assert page.evaluate("localStorage.length") == 0
        assert not any(key in path for path in board.asked)
        page.reload()
        expect(board.row(agent.agent_id)).to_be_visible()
        other = page.context.new_page()
        other.goto(board.url)
        expect(other.get_by_role("dialog", name="An API key, please")).to_be_visible()


def test_the_page_of_the_api_asks_for_the_same_key(browser, valkey_url, store):
    """One way for browsers: the tab keeps it, whichever page asked for it."""
    key = "a-key-of-somebody-0123456789"
    with (
        serving(valkey_url, ORCHESTRATOR_API_KEY=key) as (api, _),
        browsing(browser, str(api.base_url)) as board,
    ):
        page = board.page
        page.goto(f"{board.url}/docs")
        dialog = page.get_by_role("dialog", name="An API key, please")
        for wrong in ("wrong", key):
            expect(dialog).to_have_count(1)
            assert faults_of(page) == []
            dialog.get_by_label("API key").fill(wrong)
            page.keyboard.press("Enter")
        expect(page.get_by_text("POST /agents/kill-all", exact=True)).to_be_visible()
        assert page.context.cookies() == []
        page.goto(board.url)
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
