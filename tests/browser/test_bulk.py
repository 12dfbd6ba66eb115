"""Filter, order and selection are in the address; actions on many agents; the page of keys."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from orchestrator.models import Status
from orchestrator.store import acknowledgements, agents
from tests.browser.conftest import browsing
from tests.browser.seeding import Seed
from tests.browser.test_reach import faults_of
from tests.integration.api.conftest import serving


@pytest.fixture
def free(browser, valkey_url, store):
    """A page whose server limits no spawns."""
    with (
        serving(valkey_url, ORCHESTRATOR_SPAWN_RATE="0") as (api, _),
        browsing(browser, str(api.base_url)) as board,
    ):
        yield board, Seed(store)


def box(board, agent):
    return board.row(agent.agent_id).get_by_role("checkbox")


def bar(board):
    return board.page.get_by_role("group", name="Actions on several agents")


def test_a_view_is_in_the_address_and_comes_back_from_it(seeded):
    board, seed = seeded
    made = [seed.make(kind) for kind in ("failed", "rejected", "running", "completed")]
    board.open()
    page = board.page
    page.get_by_role("group", name="Show").get_by_role("button", name="Failed").click()
    page.get_by_label("Sort").select_option("task")
    page.get_by_role("searchbox").fill("shop backend")
    box(board, made[0]).click()
    expect(page).to_have_url(re.compile(r"#/\?show=failed&q=shop\+backend&sort=task&select="))
    url = page.url
    order = board.shown()
    assert order == sorted(made[n].task_id for n in (0, 1))
    page.goto("about:blank")
    page.goto(url)
    expect(page.locator(".row.agent")).to_have_count(2)
    assert board.shown() == order
    expect(page.get_by_role("searchbox")).to_have_value("shop backend")
    expect(box(board, made[0])).to_be_checked()
    expect(bar(board)).to_contain_text("1 agent selected")
    # A panel keeps the view, and closing it leaves the view as it was.
    board.row(made[1].agent_id).locator(".task").click()
    expect(page).to_have_url(re.compile(r"#/agents/.*/output\?show=failed"))
    page.keyboard.press("Escape")
    assert page.url == url
    page.go_back()
    expect(page.get_by_role("complementary", name="Agent")).to_be_visible()
    expect(page.locator(".row.agent")).to_have_count(2)


@pytest.mark.parametrize(
    "wrong", ["?show=nothing&sort=up&select=,,<b>,../x", "?sort=__proto__&show=constructor", "?q=%"]
)
def test_an_address_that_is_wrong_shows_the_whole_list(seeded, wrong):
    board, seed = seeded
    seed.make("running")
    board.open(f"#/{wrong.replace('q=%', 'q=')}")
    expect(board.page.locator(".row.agent")).to_have_count(1)
    expect(bar(board)).to_be_hidden()


def test_orders_of_the_list(seeded):
    board, seed = seeded
    seed.fill(30)
    board.open()
    page = board.page
    tokens = "rows => rows.map(row => row.querySelector('.c4').textContent)"
    page.get_by_label("Sort").select_option("tokens")
    page.locator(".row.agent").first.wait_for()
    shown = page.locator(".row.agent").evaluate_all(tokens)
    units = {"k": 1e3, "M": 1e6}
    numbers = [float(one[:-1]) * units[one[-1]] if one else 0.0 for one in shown]
    assert numbers == sorted(numbers, reverse=True)
    expect(page.locator(".group")).to_have_count(1)
    page.get_by_label("Sort").select_option("attention")
    expect(page.locator(".group").first).to_contain_text("Needs attention")


def test_selection_by_keys_and_range(seeded):
    board, seed = seeded
    for _ in range(5):
        seed.make("running")
    board.open()
    page = board.page
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(bar(board)).to_contain_text("1 agent selected")
    for key in ("j", "j", "Shift+X"):
        page.keyboard.press(key)
    expect(bar(board)).to_contain_text("3 agents selected")
    page.keyboard.press("x")
    expect(bar(board)).to_contain_text("2 agents selected")
    page.keyboard.press("a")
    expect(bar(board)).to_be_hidden()
    page.keyboard.press("a")
    expect(bar(board)).to_contain_text("5 agents selected")
    whole = page.get_by_role("checkbox", name="Select all that are listed")
    expect(whole).to_be_checked()
    page.keyboard.press("Escape")
    expect(bar(board)).to_be_hidden()
    whole.click()
    expect(bar(board)).to_contain_text("5 agents selected")
    assert faults_of(page) == []


def test_what_a_filter_lists_is_retried_together(free, store):
    board, seed = free
    failed = [seed.make("failed") for _ in range(3)]
    other = seed.make("running")
    board.open("#/?show=failed")
    expect(bar(board)).to_contain_text("3 agents listed")
    bar(board).get_by_role("button", name="Retry 3…").click()
    dialog = board.page.get_by_role("dialog", name="Spawn 3 agents again?")
    assert faults_of(board.page) == []
    dialog.get_by_label("Reason").fill("the hook is gone")
    dialog.get_by_role("button", name="Retry 3 agents").click()
    expect(dialog).to_have_count(0)
    for agent in failed:
        task = store.run(agents.read_task(agent.task_id))
        assert task.agent_id != agent.agent_id
    assert store.run(agents.read_task(other.task_id)).agent_id == other.agent_id


def test_what_is_selected_is_killed_and_nothing_else(seeded, store):
    board, seed = seeded
    made = [seed.make("queued") for _ in range(3)]
    board.open()
    for agent in made[:2]:
        box(board, agent).click()
    expect(board.page.get_by_role("complementary", name="Agent")).to_be_hidden()
    bar(board).get_by_role("button", name="Kill 2…").click()
    dialog = board.page.get_by_role("dialog", name="Kill 2 agents?")
    dialog.get_by_role("button", name="Kill 2 agents").click()
    expect(dialog).to_have_count(0)
    ends = [store.run(agents.read(one.agent_id)).status for one in made]
    assert ends == [Status.KILLED, Status.KILLED, Status.SPAWNING]
    expect(board.row(made[0].agent_id)).to_contain_text("Killed")


def test_acknowledged_agents_leave_the_first_group_on_every_page(seeded, store, browser):
    board, seed = seeded
    failed = [seed.make("failed") for _ in range(2)]
    board.open("#/?show=attention")
    with browsing(browser, board.url) as other:
        other.open("#/?show=attention")
        expect(other.page.locator(".row.agent")).to_have_count(2)
        box(board, failed[0]).click()
        bar(board).get_by_role("button", name="Acknowledge 1…").click()
        dialog = board.page.get_by_role("dialog", name="Acknowledge 1 agent?")
        dialog.get_by_label("Reason").fill("ticket 7")
        dialog.get_by_role("button", name="Acknowledge 1 agent").click()
        for page in (board.page, other.page):
            expect(page.locator(".row.agent")).to_have_count(1)
    (found,) = store.run(acknowledgements.find_each([failed[0].agent_id]))
    assert found.why == "ticket 7"


def test_what_fails_is_named_and_the_rest_is_done(seeded, store):
    board, seed = seeded
    first, second = (seed.make("queued") for _ in range(2))
    board.open()
    for agent in (first, second):
        box(board, agent).click()
    bar(board).get_by_role("button", name="Kill 2…").click()
    board.page.route(f"**/agents/{first.agent_id}/kill", lambda route: route.abort())
    dialog = board.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Kill 2 agents").click()
    expect(dialog.get_by_role("alert")).to_contain_text(f"{first.task_id}: ")
    expect(dialog).to_contain_text("2 of 2")
    assert store.run(agents.read(second.agent_id)).status == "killed"
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def test_a_refused_rate_is_waited_for_and_stop_ends_it(free, store):
    board, seed = free
    failed = [seed.make("failed") for _ in range(3)]
    board.open("#/?show=failed")
    refusals = [30, 1]

    def refuse(route):
        if not refusals:
            route.continue_()
            return
        headers = {"Retry-After": str(refusals.pop()), "Content-Type": "application/problem+json"}
        route.fulfill(status=429, headers=headers, body='{"detail": "too many"}')

    board.page.route("**/retry", refuse)
    bar(board).get_by_role("button", name="Retry 3…").click()
    dialog = board.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Retry 3 agents").click()
    # The one that was refused for a second is retried; the other still waits.
    expect(dialog.get_by_role("status")).to_contain_text("2 of 3")
    dialog.get_by_role("button", name="Stop").click()
    expect(dialog).to_have_count(0)
    moved = [store.run(agents.read_task(one.task_id)).agent_id for one in failed]
    assert sum(new != one.agent_id for new, one in zip(moved, failed, strict=True)) == 2


def test_a_question_mark_shows_the_keys(seeded):
    board, seed = seeded
    seed.make("running")
    board.open()
    board.page.keyboard.press("?")
    dialog = board.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Select or deselect the agent")
    assert faults_of(board.page) == []
    board.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    board.page.get_by_role("searchbox").fill("?")
    expect(dialog).to_have_count(0)
    board.page.get_by_role("button", name="Keys").click()
    expect(dialog).to_be_visible()
