"""Halt, resume and spawn from the page: by keyboard, with faults at their fields, by scope."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from orchestrator import wiring
from orchestrator.audit.log import read_entries
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import agents, halt
from tests.browser.conftest import browsing
from tests.browser.test_reach import faults_of
from tests.integration.api.conftest import serving

SHOP = "https://git.example.org/shop/backend.git"


def button(board, name):
    return board.page.get_by_role("button", name=name, exact=True)


def dialog_of(board, name):
    return board.page.get_by_role("dialog", name=name)


def test_halt_and_resume_by_keyboard_with_a_reason(seeded, store):
    board, seed = seeded
    seed.make("queued")
    board.open()
    press, type_ = board.page.keyboard.press, board.page.keyboard.type
    expect(button(board, "Halt…")).to_be_enabled()
    button(board, "Halt…").focus()
    press("Enter")
    asked = dialog_of(board, "Halt the system?")
    # No key that is pressed too often or too early halts.
    expect(asked.get_by_role("button", name="Cancel")).to_be_focused()
    assert faults_of(board.page) == []
    press("Shift+Tab")
    type_("a <b>runaway</b>")
    press("Enter")
    assert store.run(halt.find_halt()) is None
    press("Tab")
    press("Tab")
    press("Enter")
    banner = board.page.locator("#halt")
    expect(banner).to_contain_text("a <b>runaway</b>. No agent is admitted or started.")
    assert store.run(halt.find_halt()).why == "a <b>runaway</b>"
    # This Valkey keeps no append-only file.
    said = dialog_of(board, "Halted, in memory only")
    expect(said).to_contain_text("its restart lifts the halt")
    said.get_by_role("button", name="Close").click()

    button(board, "Resume…").focus()
    press("Enter")
    asked = dialog_of(board, "Lift the halt?")
    asked.get_by_role("button", name="Resume").click()
    reason = asked.get_by_label("Reason")
    expect(reason).to_have_attribute("aria-invalid", "true")
    expect(reason).to_have_accessible_description("String should have at least 1 character")
    expect(reason).to_be_focused()
    assert faults_of(board.page) == []
    type_("the cause is found")
    asked.get_by_role("button", name="Resume").click()
    expect(asked).to_have_count(0)
    expect(banner).to_be_hidden()
    expect(button(board, "Halt…")).to_be_enabled()
    assert store.run(halt.find_halt()) is None
    whys = [entry.why for entry in store.follow(read_entries(limit=2))]
    assert whys == ["a <b>runaway</b>", "the cause is found"]


def test_spawn_from_the_page_shows_each_fault_at_its_field(seeded, store):
    board, seed = seeded
    seed.make("running")
    board.open()
    page = board.page
    page.keyboard.press("n")
    asked = dialog_of(board, "Spawn an agent")
    repository, branch = asked.get_by_label("Repository"), asked.get_by_label("Branch")
    items, confirm = (
        asked.get_by_label("Work items"),
        asked.get_by_role("button", name="Spawn agent"),
    )
    expect(repository).to_be_focused()
    assert page.locator("#known-repositories option").first.get_attribute("value") == SHOP
    confirm.click()
    for control in (repository, branch, items):
        expect(control).to_have_attribute("aria-invalid", "true")
    expect(asked.get_by_role("alert")).to_have_text(
        "The request is refused: see the marked fields."
    )
    expect(branch).to_have_accessible_description(re.compile("branch name"))
    expect(repository).to_be_focused()
    assert faults_of(page) == []
    repository.fill(f" {SHOP} ")
    branch.fill("main")
    items.fill("first <i>item</i>\n\n  second\n")
    asked.get_by_label("Agent type").select_option("tester")
    asked.get_by_label("Priority").select_option("9")
    # Nothing that was written is lost with the dialog.
    page.keyboard.press("Escape")
    expect(asked).to_have_count(0)
    button(board, "Spawn…").click()
    expect(items).to_have_value("first <i>item</i>\n\n  second\n")
    expect(items).not_to_have_attribute("aria-invalid", "true")
    # The answer is lost: the same request again is the same agent.
    taken = []

    def lose(route):
        taken.append(route.fetch().json()["agentId"])
        route.abort()

    page.route("**/agents/spawn", lose, times=1)
    confirm.click()
    expect(asked.get_by_role("alert")).to_have_text("The server does not answer.")
    confirm.click()
    expect(asked).to_have_count(0)
    page.wait_for_url(f"**/#/agents/{taken[0]}/output")
    request = store.run(agents.read_request(taken[0]))
    assert (request.agent_type, request.priority) == ("tester", 9)
    assert (request.context.repository, request.context.branch) == (SHOP, "main")
    assert request.context.work_items == ("first <i>item</i>", "second")
    expect(board.row(taken[0])).to_have_count(1)
    assert page.locator(".row.agent").count() == 2


def test_a_key_without_the_scope_changes_nothing(browser, valkey_url, store, tmp_path):
    settings = load_settings({"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)})
    token = store.follow(wiring.api_keys(settings).add("reader", (KeyScope.READ,), by="ann"))
    with (
        serving(valkey_url, ORCHESTRATOR_API_KEY="k" * 30) as (api, _),
        browsing(browser, str(api.base_url)) as board,
    ):
        page = board.page
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(board.url)
        page.get_by_role("textbox", name="API key").fill(token)
        page.keyboard.press("Enter")
        button(board, "Halt…").click()
        asked = page.get_by_role("dialog")
        asked.get_by_role("button", name="Halt").click()
        expect(asked.get_by_role("alert")).to_contain_text("may not operate")
        asked.get_by_role("button", name="Cancel").click()
        assert store.run(halt.find_halt()) is None
        button(board, "Spawn…").click()
        for name, value in (("Repository", SHOP), ("Branch", "main"), ("Work items", "x")):
            asked.get_by_label(name).fill(value)
        asked.get_by_role("button", name="Spawn agent").click()
        expect(asked.get_by_role("alert")).to_contain_text("may not spawn")
        assert faults_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator(".row.agent").count() == 0
