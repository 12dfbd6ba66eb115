"""The dashboard of a whole system: spawned, watched, opened, killed; lost and found again."""

from __future__ import annotations

import json
import urllib.request

import pytest
import yaml
from playwright.sync_api import expect

from orchestrator.store import keys
from orchestrator.store.operations import command
from tests.browser.conftest import browsing
from tests.integration.api.conftest import serving, spawn
from tests.processes import eventually


def spawn_over_http(system, remote, task, *steps):
    """Spawn a scripted agent as a Coordinator does; returns its id."""
    context = {
        "repository": str(remote), "branch": "main",
        "workItems": [yaml.safe_dump({"steps": list(steps)})],
    }  # fmt: skip
    body = {
        "taskId": task, "agentType": "worker", "gateProfile": "minimal", "maxRetries": 0,
        "context": context,
    }  # fmt: skip
    asked = urllib.request.Request(
        f"{system.api}/agents/spawn",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)["agentId"]


@pytest.fixture
def quiet(system):
    """No agent of a test before is active."""
    system.orch("kill-all", "--reason", "next test")
    return system


def test_an_agent_is_watched_live_opened_and_killed(quiet, board, remote):
    board.open()
    page = board.page
    agent_id = spawn_over_http(
        quiet, remote, "watched", {"say": "Looking around"},
        {"tokens": {"input": 900, "output": 100}}, {"say": "And on I go"}, {"hang": True},
    )  # fmt: skip
    row = board.row(agent_id)
    expect(row).to_contain_text("watched")
    expect(row).to_contain_text("Working")
    expect(row).to_contain_text("And on I go")
    expect(row).to_contain_text("1k")

    row.click()
    detail = page.get_by_role("complementary", name="Agent")
    expect(detail.get_by_role("heading", name="watched")).to_be_focused()
    expect(detail.get_by_role("log")).to_contain_text("Looking around")
    expect(detail.get_by_role("log")).to_contain_text("And on I go")
    board.shot("tail")

    detail.get_by_role("button", name="Kill…").click()
    dialog = page.get_by_role("dialog", name="Kill this agent?")
    dialog.get_by_label("Reason").fill("has hung")
    board.shot("kill")
    dialog.get_by_role("button", name="Kill agent").click()
    expect(dialog).to_have_count(0)
    expect(row).to_contain_text("Killed")
    # What the kill did, and who asked for it.
    detail.get_by_role("tab", name="Record").click()
    expect(detail.get_by_role("tabpanel")).to_contain_text("has hung")
    expect(detail.get_by_role("tabpanel")).to_contain_text("confirmedBy")
    detail.get_by_role("tab", name="Timeline").click()
    expect(detail.get_by_role("tabpanel")).to_contain_text("“has hung”")


def test_kill_all_tells_the_count_and_no_stray_key_does_it(quiet, board, remote):
    board.open()
    page = board.page
    ids = [spawn_over_http(quiet, remote, f"one-{at}", {"hang": True}) for at in range(3)]
    for agent_id in ids:
        expect(board.row(agent_id)).to_contain_text("Working")
    button = page.get_by_role("button", name="Kill all 3…")
    dialog = page.get_by_role("dialog", name="Kill every agent?")
    # The focus is on what does nothing, and a reason's Enter is no answer.
    for keys_ in (["Enter"], [" "], ["Escape"]):
        button.click()
        expect(dialog).to_be_visible()
        for key in keys_:
            page.keyboard.press(key)
        expect(dialog).to_have_count(0)
    button.click()
    dialog.get_by_label("Reason").press_sequentially("night shift\n")
    expect(dialog.get_by_role("button", name="Kill 3 agents")).to_be_enabled()
    assert not any(path.endswith("/kill-all") for path in board.asked)
    board.shot("kill-all")
    dialog.get_by_role("button", name="Kill 3 agents").click()
    expect(dialog).to_have_count(0)
    for agent_id in ids:
        expect(board.row(agent_id)).to_contain_text("Killed")
    expect(page.get_by_role("button", name="Kill all…")).to_be_disabled()
    expect(page.get_by_role("status").last).to_contain_text("3 killed, 0 failed")


def test_a_failed_agent_says_why_and_is_retried_a_queue_is_paused(quiet, board, remote):
    board.open()
    page = board.page
    broken = {"path": "calc.py", "content": "def add(a, b):\n    return 1\n"}
    agent_id = spawn_over_http(quiet, remote, "breaks", {"write": broken})
    row = board.row(agent_id)
    expect(row).to_contain_text("Failed")
    expect(row).to_have_attribute("data-concern", "yes")
    expect(row).to_contain_text("tests")
    row.click()
    expect(page.get_by_text(f"orch gates {agent_id}")).to_be_visible()
    expect(page.get_by_role("complementary")).to_contain_text("kept")
    page.get_by_role("tab", name="Gates").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("Rejected")
    board.shot("gates")
    page.get_by_role("tab", name="Change").click()
    expect(page.locator(".d.add")).to_have_text(["+    return 1\n"])

    page.get_by_role("button", name="Pause the queue spawn").click()
    expect(page.get_by_role("button", name="Resume the queue spawn")).to_be_visible()
    # Soon after, for a worker that has much to do.
    eventually(lambda: '"event": "paused"' in (quiet.home / "log" / "spawn.log").read_text())
    page.get_by_role("button", name="Retry…").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    again = page.locator('.row.agent[aria-selected="true"]')
    expect(again).to_contain_text("breaks")
    expect(again).to_contain_text("Queued")
    # The task goes on: its earlier end needs nobody any more.
    expect(row).not_to_have_attribute("data-concern", "yes")
    page.get_by_role("button", name="Resume the queue spawn").click()
    expect(again).not_to_contain_text("Queued")


def test_a_halt_is_seen_and_its_end(quiet, board):
    board.open()
    quiet.orch("halt", "--reason", "a leak")
    try:
        expect(board.page.locator("#halt")).to_contain_text("a leak")
    finally:
        quiet.orch("resume", "--reason", "mended")
    expect(board.page.locator("#halt")).to_be_hidden()


def lists_read(board):
    return sum(path.startswith("/agents?") for path in board.asked)


@pytest.fixture
def comes_and_goes(browser, valkey_url, unused_port):
    """A page whose server is gone, with one agent in it; and how to start that server again."""
    port = {"ORCHESTRATOR_PORT": str(unused_port)}
    with (
        browsing(browser, f"http://127.0.0.1:{unused_port}") as board,
        serving(valkey_url) as (other, _),
    ):
        first = spawn(other, taskId="before")
        with serving(valkey_url, **port):
            board.open()
            expect(board.row(first)).to_contain_text("Queued")
        expect(board.page.locator("#lost")).to_contain_text("Connection lost, trying again")
        yield board, other, lambda: serving(valkey_url, **port), first


def test_what_happens_while_the_server_is_away_is_not_lost(comes_and_goes):
    """The page goes on behind the last event it has seen; it reads the list only once."""
    board, other, start, first = comes_and_goes
    board.shot("lost")
    missed = [spawn(other, taskId=f"missed-{at}") for at in range(3)]
    assert other.post(f"/agents/{first}/kill", json={}).status_code == 200
    with start():
        # It may have connected by itself already: then the button is gone.
        board.page.locator("#try-now").evaluate("button => button.click()")
        for agent_id in missed:
            expect(board.row(agent_id)).to_contain_text("Queued")
        expect(board.row(first)).to_contain_text("Killed")
        expect(board.page.get_by_text("Live", exact=True)).to_be_visible()
        expect(board.page.locator("#lost")).to_be_hidden()
        assert lists_read(board) == 1


def test_where_the_events_of_the_meantime_are_gone_all_is_read_again(comes_and_goes, store):
    board, other, start, first = comes_and_goes
    missed = spawn(other, taskId="missed")
    assert other.post(f"/agents/{first}/kill", json={}).status_code == 200
    store.run(command("XTRIM", keys.EVENTS_STREAM, "MAXLEN", 0, decode=int))
    with start():
        expect(board.row(missed)).to_contain_text("Queued")
        expect(board.row(first)).to_contain_text("Killed")
        assert lists_read(board) == 2
