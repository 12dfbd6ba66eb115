"""The live output: it opens at the newest line, follows, stays where a person reads, and finds."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.test_live import spawn_over_http

#: Lines of different heights, since the page learns a height only when it draws the line.
LONG = {"run": 'python3 -c \'for n in range(150): print(f"line {n} " + "word " * (n % 7) ** 3)\''}
MORE = {"run": 'python3 -c \'for n in range(40): print(f"later {n} " + "word " * 90)\''}


def from_end(log) -> float:
    """Return how far the log is from its end, in pixels."""
    return log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight")


@pytest.fixture
def tail(system, board, remote):
    """An agent with much output that goes on when the file exists; and its log on the page."""
    system.orch("kill-all", "--reason", "next test")
    wait = {"run": "until test -e go; do sleep 0.1; done"}
    agent_id = spawn_over_http(system, remote, "talks", LONG, wait, MORE, {"hang": True})
    board.open(f"#/agents/{agent_id}")
    log = board.page.get_by_role("log", name="Output")
    expect(log).to_contain_text("line 149", timeout=60_000)
    return board, log, system.home / "workspaces" / agent_id / "tree" / "go"


def test_it_opens_at_the_newest_line_and_follows(tail):
    board, log, go = tail
    expect(log.locator(".line").last).to_be_in_viewport()
    board.page.wait_for_function("log => log.scrollHeight - log.scrollTop - log.clientHeight < 2",
                                 arg=log.element_handle())  # fmt: skip
    # As a smaller window, and as a panel that has more to say above the log.
    board.page.set_viewport_size({"width": 1440, "height": 700})
    expect(log.locator(".line").last).to_be_in_viewport()
    go.touch()
    expect(log).to_contain_text("later 39", timeout=60_000)
    expect(log.locator(".line").last).to_be_in_viewport()
    board.page.wait_for_function("log => log.scrollHeight - log.scrollTop - log.clientHeight < 2",
                                 arg=log.element_handle())  # fmt: skip
    board.shot("tail-follows")


def test_it_stays_where_a_person_reads_until_the_newest_is_asked_for(tail):
    board, log, go = tail
    log.hover()
    board.page.mouse.wheel(0, -2000)
    newest = board.page.get_by_role("button", name="Newest line")
    expect(newest).to_be_visible()
    go.touch()
    expect(log).to_contain_text("later 39", timeout=60_000)
    assert from_end(log) > 500
    board.shot("tail-stays")
    newest.click()
    expect(newest).to_be_hidden()
    expect(log.locator(".line").last).to_be_in_viewport()


def test_text_in_it_is_found_as_more_arrives(tail):
    board, log, go = tail
    board.page.get_by_role("searchbox", name="Find in output").fill("later 1")
    expect(log.locator(".line:visible")).to_have_count(0)
    go.touch()
    # later 1, later 10 to later 19
    expect(log.locator(".line:visible")).to_have_count(11, timeout=60_000)
    expect(board.page.get_by_text("11 lines")).to_be_visible()
    board.shot("tail-finds")
