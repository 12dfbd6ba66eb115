"""The browser's notifications of agents that newly need attention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from orchestrator.store import agent_transitions
from tests.browser.test_reach import faults_of

#: The browser's class; a test reads what was asked and shown, and answers as a person.
DOUBLE = """
window.asked = 0;
window.shown = [];
window.Notification = class {
  static permission = PERMISSION;
  static requestPermission() {
    window.asked += 1;
    this.permission = ANSWER;
    return Promise.resolve(ANSWER);
  }
  constructor(title, options) {
    if (REFUSES) throw new TypeError("Illegal constructor");
    window.shown.push(Object.assign(this, { title, ...options }));
  }
  close() {}
};
"""


def answering(board, answer: str, *, permission: str = "default", refuses: bool = False) -> None:
    """Give the page a browser whose person answers so."""
    double = DOUBLE.replace("PERMISSION", repr(permission)).replace("ANSWER", repr(answer))
    board.page.add_init_script(double.replace("REFUSES", str(refuses).lower()))


def shown(page) -> list[dict[str, str]]:
    return page.evaluate("shown.map(({ title, body, tag }) => ({ title, body, tag }))")


def switch(board):
    return board.page.get_by_role("button", name="Notify me when an agent needs attention")


def test_an_agent_that_newly_needs_attention_is_notified_once_and_opened(seeded, store):
    board, seed = seeded
    answering(board, "granted")
    seed.make("rejected")
    waits = seed.make("running")
    board.open()
    page = board.page
    expect(switch(board)).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("asked") == 0
    switch(board).click()
    expect(switch(board)).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("asked") == 1
    assert faults_of(page) == []
    # The tab is in the background, as it is when a notification is of use.
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    failed = seed.make("failed")
    page.wait_for_function("() => shown.length > 0")
    since = datetime.now(UTC) - timedelta(minutes=2)
    store.run(agent_transitions.stall(waits, since=since, now=datetime.now(UTC)))
    page.wait_for_function("() => shown.length > 1")
    one, other = shown(page)
    assert (one["title"], one["tag"]) == (failed.task_id, failed.agent_id)
    assert "protected branch" in one["body"]
    assert (other["title"], other["tag"]) == (waits.task_id, waits.agent_id)
    assert other["body"].startswith("stalled")
    page.evaluate("shown[0].onclick()")
    expect(page.get_by_role("heading", name=failed.task_id)).to_be_visible()
    # A new load of the page brings none for what it finds, and the switch stays on.
    page.add_init_script("Notification.permission = 'granted'")
    board.open()
    expect(switch(board)).to_have_attribute("aria-pressed", "true")
    later = seed.make("failed")
    page.wait_for_function("() => shown.length > 0")
    assert [note["tag"] for note in shown(page)] == [later.agent_id]
    switch(board).click()
    seed.make("failed")
    expect(page.locator('.row.agent[data-concern="yes"]')).to_have_count(5)
    assert len(shown(page)) == 1


def test_an_acknowledged_agent_is_not_notified(seeded, server):
    board, seed = seeded
    answering(board, "granted")
    board.open()
    switch(board).click()
    failed = seed.make("failed")
    page = board.page
    page.wait_for_function("() => shown.length > 0")
    answer = server.post(f"/agents/{failed.agent_id}/acknowledge", json={"reason": "seen"})
    assert answer.status_code == 200, answer.text
    expect(board.row(failed.agent_id)).not_to_have_attribute("data-concern", "yes")
    other = seed.make("failed")
    page.wait_for_function("() => shown.length > 1")
    assert [note["tag"] for note in shown(page)] == [failed.agent_id, other.agent_id]


@pytest.mark.parametrize(
    ("double", "said"),
    [
        ({"answer": "denied"}, "blocks notifications of this page"),
        ({"answer": "default"}, "was not given permission"),
        ({"answer": "granted", "permission": "denied"}, "blocks notifications of this page"),
        ({"answer": "granted", "refuses": True}, "installed applications only"),
        (None, "no notifications for pages"),
    ],
)
def test_what_is_missing_is_said(seeded, double, said):
    board, seed = seeded
    page = board.page
    if double:
        answering(board, **double)
    else:
        page.add_init_script("delete window.Notification")
    page.set_viewport_size({"width": 390, "height": 844})
    board.open()
    switch(board).click()
    if double and double.get("refuses"):
        seed.make("failed")
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text(said)
    expect(switch(board)).to_have_attribute("aria-pressed", "false")
    assert faults_of(page) == []
    banner.get_by_role("button", name="Close this message").click()
    expect(page.locator("#notify-lack")).to_be_hidden()
    expect(switch(board)).to_be_focused()
    expect(page.get_by_role("button", name="Kill all")).to_be_in_viewport(ratio=1)
