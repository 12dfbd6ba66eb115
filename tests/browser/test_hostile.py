"""What agents write stays text: no markup, no script, no page that stands still."""

from __future__ import annotations

from datetime import UTC, datetime

from playwright.sync_api import expect

from orchestrator.models import LogLine
from orchestrator.store import agent_logs, agents
from tests.browser.test_live import spawn_over_http
from tests.integration.conftest import SAMPLE, make_remote

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>"
ANSI = "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://e\x1b\\link"
TURNED = "safe\u202egnp.exe\u2066"
#: What of the page must not grow by what agents write: all that is not plain structure.
ELEMENTS = "script, img, iframe, object, embed, link, style, a, form, svg[onload], [onerror]"


def test_output_items_names_and_changes_are_never_markup(system, board, tmp_path):
    """`<script>`, terminal sequences, a line of 10 MB, wherever an agent or a client writes."""
    # A client's own names: the repository's folder, the task, the work items; then the agent's.
    remote = make_remote(tmp_path / "<img src=x onerror=alert(4)>", {**SAMPLE, MARKUP[:25]: "x"})
    board.open()
    before = board.page.locator(ELEMENTS).count()
    agent_id = spawn_over_http(
        system, remote, f"task {MARKUP}",
        {"say": MARKUP}, {"say": ANSI}, {"say": TURNED},
        {"tool": {"name": MARKUP, "detail": MARKUP}},
        {"write": {"path": "<img src=x onerror=alert(5)>.py", "content": MARKUP}},
        {"say": f"last {MARKUP}"},
        {"print": {"text": "<b>x", "repeat": 2_500_000}}, {"print": "\n"}, {"fail": 3},
    )  # fmt: skip
    row = board.row(agent_id)
    expect(row).to_contain_text("Failed")
    expect(row.locator(".task")).to_have_text(f"task {MARKUP}")
    row.click()
    page = board.page
    log = page.get_by_role("log")
    expect(log).to_contain_text(f"last {MARKUP}")
    text = log.text_content()
    assert "\x1b" not in text
    assert "[31m" not in text
    assert "\u202e" not in text
    assert "red" in text
    # Cut, or one line would be all there is.
    assert len(text) < 200_000
    for tab in ("Timeline", "Gates", "Change", "Record"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_text("Reading…")).to_have_count(0)
        assert page.locator(ELEMENTS).count() == before
    assert page.locator("#main [style]:not(.row, .rows, .group, .meter i)").count() == 0
    page.get_by_role("button", name="Retry…").click()
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("onerror=alert")
    expect(row).to_be_visible()
    # A page that a long line had frozen would not answer.
    assert page.evaluate("1 + 1") == 2


def test_a_flood_of_long_lines_leaves_the_page_quick(seeded, store):
    board, seed = seeded
    agent = seed.make("running")
    board.open(f"#/agents/{agent.agent_id}/output")
    agent = store.run(agents.read(agent.agent_id))
    for batch in range(9):
        texts = [f"{batch}-{at} {'<i>' * (5000 if at % 20 == 0 else 5)}" for at in range(250)]
        lines = [LogLine(at=datetime.now(UTC), source="agent", text=text) for text in texts]
        store.run(agent_logs.append_log(agent.agent_id, agent.attempt, lines, cap=100_000))
    shown = board.page.locator(".log .line")
    expect(shown.filter(has_text="8-249 ")).to_have_count(1)
    assert shown.count() == 2000
    assert shown.filter(has_text="8-240 ").evaluate("one => one.textContent.length") < 5000


def test_the_policy_holds_against_a_script_in_the_page(seeded):
    """The other tests count its breaches: here is what one looks like, and that nothing ran."""
    board, _ = seeded
    board.open()
    add = "document.body.append(Object.assign(document.createElement('script'),"
    for attempt in (
        "document.body.innerHTML = '<img src=x onerror=window.ran=1>'",
        f"{add} {{text: 'window.ran=1'}}))",
        "document.body.setAttribute('onclick', 'window.ran=1')",
        "setTimeout('window.ran=1')",
        "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x'}))",
    ):
        refused = f"try {{ {attempt} }} catch (error) {{ window.refused = true }}"
        board.page.evaluate(f"() => {{ {refused} }}")
    board.page.locator("body").click(position={"x": 700, "y": 20})
    assert board.page.evaluate("window.ran") is None
    assert len(board.page.evaluate("window.violations.splice(0)")) >= 4
    board.faults.clear()
