"""The live output: folded output of tools, the jump to errors, and the wrapping of lines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from orchestrator.models import LogLine
from orchestrator.store import agent_logs
from tests.browser.test_reach import faults_of

#: Two calls at once, whose outputs arrive in another order.
CALLS = [
    ("agent", "I look around.", None),
    ("tool", 'Bash {"command": "make test"}', "t1"),
    ("tool", 'Read {"path": "calc.py"}', "t2"),
    ("output", "def add(a, b):\n    return a + b\n", "t2"),
    ("failed", "FAILED test_calc.py\n1 failed", "t1"),
    *(("agent", f"thought {n} " + "and more " * 60, None) for n in range(60)),
    ("stderr", "Traceback:", None),
    ("stderr", "  boom", None),
    *(("agent", f"after {n}", None) for n in range(60)),
    ("error", "gave up", None),
    *(("agent", f"end {n}", None) for n in range(30)),
]


@pytest.fixture
def output(seeded, store):
    """An agent's output on the page, and a function that appends records to it."""
    board, seed = seeded
    agent = seed.make("running")

    def more(*records: tuple[str, str, str | None]) -> None:
        lines = [
            LogLine(at=datetime.now(UTC), source=source, text=text, tool=tool)
            for source, text, tool in records
        ]
        store.run(agent_logs.append_log(agent.agent_id, agent.attempt, lines, cap=10_000))

    more(*CALLS)
    board.open(f"#/agents/{agent.agent_id}")
    log = board.page.get_by_role("log", name="Output")
    expect(log.locator(".line").last).to_contain_text("end 29")
    return board.page, log, more


def test_a_tool_call_opens_to_its_output_and_stays_open_as_more_arrives(output):
    _, log, more = output
    read = log.get_by_role("button", name="Read")
    expect(read).to_have_text('Read {"path": "calc.py"} 2 lines')
    expect(read).to_have_attribute("aria-expanded", "false")
    expect(log.get_by_text("return a + b")).to_be_hidden()
    read.click()
    expect(read).to_have_attribute("aria-expanded", "true")
    expect(log.get_by_text("return a + b")).to_be_visible()
    more(("tool", "Bash ls", "t3"), ("agent", "goes on", None))
    expect(log).to_contain_text("goes on")
    more(("output", "calc.py", "t3"))
    expect(log.get_by_role("button", name="Bash ls")).to_have_attribute("aria-expanded", "false")
    expect(read).to_have_attribute("aria-expanded", "true")
    expect(log.get_by_text("return a + b")).to_be_in_viewport()
    failed = log.get_by_role("button", name="make test")
    expect(failed).to_contain_text("failed · 2 lines")
    failed.click()
    expect(log.get_by_text("1 failed")).to_be_visible()
    read.click()
    expect(log.get_by_text("return a + b")).to_be_hidden()


def test_text_in_a_fold_is_found_and_the_fold_closes_again(output):
    page, log, _ = output
    find = page.get_by_role("searchbox", name="Find in output")
    find.fill("return a + b")
    expect(log.locator(".line:visible")).to_have_count(1)
    expect(log.get_by_text("return a + b")).to_be_visible()
    find.fill("")
    expect(log.get_by_text("return a + b")).to_be_hidden()


def test_the_first_error_and_the_next_are_jumped_to(output):
    page, log, more = output
    button = page.get_by_role("button", name="Next error")
    tools = page.locator(".tail-tools")
    expect(tools).to_contain_text("3 errors")
    button.click()
    expect(log.get_by_text("1 failed")).to_be_in_viewport()
    expect(tools).to_contain_text("1 of 3")
    expect(page.locator("#said")).to_contain_text("Error 1 of 3: FAILED test_calc.py")
    # A line that arrives moves nobody away.
    more(("agent", "goes on", None))
    expect(log).to_contain_text("goes on")
    expect(log.get_by_text("1 failed")).to_be_in_viewport()
    page.keyboard.press("e")
    expect(log).to_be_focused()
    # The lines of one trace are one error.
    expect(log.get_by_text("Traceback:")).to_be_in_viewport()
    page.keyboard.press("e")
    expect(log.get_by_text("gave up")).to_be_in_viewport()
    page.keyboard.press("e")
    expect(tools).to_contain_text("1 of 3")
    page.get_by_role("searchbox", name="Find in output").fill("goes on")
    expect(button).to_be_disabled()


def test_long_lines_wrap_or_do_not(output):
    page, log, _ = output
    width = "log => log.scrollWidth - log.clientWidth"
    wrap = page.get_by_role("button", name="Wrap long lines")
    expect(wrap).to_have_attribute("aria-pressed", "true")
    assert log.evaluate(width) == 0
    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "false")
    log.get_by_text("thought 59").scroll_into_view_if_needed()
    assert log.evaluate(width) > 500
    # The choice holds for the next agent that is opened.
    page.get_by_role("tab", name="Gates").click()
    page.get_by_role("tab", name="Output").click()
    expect(wrap).to_have_attribute("aria-pressed", "false")
    page.get_by_role("heading", level=2).last.focus()
    page.keyboard.press("w")
    expect(wrap).to_have_attribute("aria-pressed", "true")
    page.get_by_role("searchbox", name="Find in output").press_sequentially("we")
    expect(wrap).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("width", [390, 1024])
def test_keyboard_and_screen_reader_reach_the_folds(output, width):
    page, log, _ = output
    page.set_viewport_size({"width": width, "height": 844})
    log.focus()
    page.keyboard.press("Tab")
    read, bash = (log.get_by_role("button", name=name) for name in ("Read", "make test"))
    expect(read).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(bash).to_be_focused()
    page.keyboard.press("Enter")
    expect(log.get_by_text("1 failed")).to_be_in_viewport()
    expect(log).to_match_aria_snapshot(r"""
- log "Output":
  - button /Bash .* failed · 2 lines/ [expanded]
  - text: /FAILED test_calc.py 1 failed/
  - button /Read .* 2 lines/
""")
    for name in ("Next error", "Wrap long lines", "Newest line"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    assert faults_of(page) == []
