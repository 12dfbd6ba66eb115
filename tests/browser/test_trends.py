"""The trends of the page: the last hour as sparklines, the last day by repository, as text too."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from orchestrator.store import keys
from orchestrator.store.operations import command
from tests.browser.test_reach import faults_of


def test_the_last_hour_and_the_last_day(seeded, store):
    board, seed = seeded
    seed.make("failed")
    hour = int(time.time()) // 3600
    hostile = "https://git.example.org/<img src=x onerror=alert(1)>/b"
    fields = (f"h|{hour - 3}|ended|{hostile}", 7, f"h|{hour - 3}|tokens|{hostile}", 3_000_000)
    store.run(command("HSET", keys.TRENDS, *fields, decode=int))
    board.open()
    page = board.page
    trends = page.locator("#trends")
    summary = trends.locator("summary")
    expect(summary).to_contain_text("Ended 1 ")
    points = summary.locator("polyline").first.get_attribute("points").split()
    assert len(points) == 60
    summary.focus()
    page.keyboard.press("Enter")
    rows = trends.get_by_role("row")
    expect(rows).to_contain_text(
        ["Repository", "<img src=x onerror=alert(1)>/b73M", "shop/backend1"]
    )
    assert trends.locator("img").count() == 0
    assert trends.locator("figure rect:not(.hit)").count() == 2
    trends.get_by_role("button", name="Tokens").click()
    expect(trends.locator("figcaption")).to_have_text("Tokens, at most 3M an hour")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults_of(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
