"""The waterfall of an agent: each phase, each gate and each rework round, in words and as bars."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from tests.browser.conftest import browsing
from tests.browser.test_reach import faults_of


def test_a_reworked_and_pushed_agent(board, system, remote):
    """A real agent: its first round is rejected, the second one is pushed."""
    bad = {"write": {"path": "test_calc.py", "content": "raise SystemExit(1)\n"}}
    good = {"run": "git checkout test_calc.py; echo 'X = 1' > x.py"}
    item = json.dumps({"rounds": [[bad], [good]]})
    agent_id = system.spawn(remote, item)
    outcome = system.wait(agent_id)
    board.open(f"#/agents/{agent_id}/timeline")
    rows = board.page.get_by_role("list", name="Waterfall").get_by_role("listitem")
    expect(rows.first).to_contain_text("Queued")
    texts = rows.all_text_contents()
    names = [text.split(" ")[0] for text in texts]
    for name in ("Queued", "Preparing", "Working"):
        assert any(one.startswith(name) for one in names), texts
    assert any("tests" in text for text in texts), texts
    if outcome["status"] == "completed":
        assert any("Rework round 2" in text for text in texts), texts
        assert any("Pushing" in text for text in texts), texts
    widths = board.page.locator(".waterfall .track i").evaluate_all(
        "bars => bars.map(bar => [bar.offsetLeft, bar.offsetWidth, bar.parentElement.offsetWidth])"
    )
    for left, width, room in widths:
        assert width >= 1
        assert left + width <= room + 2
    assert faults_of(board.page) == []


def test_spans_of_any_events(board):
    """The pure part, on events that are missing, doubled or in the wrong order."""
    board.open()
    spans = board.page.evaluate(
        """async () => {
          const { spansOf } = await import("/static/waterfall.js");
          const at = (s) => new Date(1e12 + s * 1000).toISOString();
          const phase = (s, from, to, round = 1) =>
            ({ type: "agent.phase", timestamp: at(s), from, to, round });
          const brief = (spans) => spans.map((one) =>
            [one.phase, one.from - 1e12, one.to - 1e12, one.gates.length, !!one.isOpen]);
          const tests = { name: "tests", status: "passed", durationMs: 5 };
          const gate = (stage) => ({ stage, gates: [tests] });
          const born = { type: "agent.spawning", timestamp: at(0) };
          const whole = [born, phase(1, "queued", "preparing"), phase(2, "preparing", "executing"),
            phase(5, "executing", "awaiting_gates"), phase(6, "awaiting_gates", "gating"),
            phase(8, "gating", "awaiting_rework"), phase(9, "awaiting_rework", "preparing", 2),
            phase(10, "preparing", "gating", 2), { type: "agent.completed", timestamp: at(12) },
            { type: "agent.cleanup", timestamp: at(13) }];
          const reports = [gate("pre-commit"), gate("post-commit"), gate("pre-commit")];
          return [
            brief(spansOf(whole, reports, 2e12)),
            brief(spansOf([born], [], 1e12 + 7000)),
            brief(spansOf([], [], 0)),
            brief(spansOf([phase(3, "queued", "preparing")], [], 1e12 + 4000)),
            brief(spansOf([born, { type: "agent.killed", timestamp: at(-1) }], [], 2e12)),
          ];
        }"""
    )
    whole, waiting, empty, cut, backwards = spans
    assert [one[0] for one in whole] == [
        "queued", "preparing", "executing", "awaiting_gates", "gating", "awaiting_rework",
        "preparing", "gating",
    ]  # fmt: skip
    assert [one[3] for one in whole if one[0] == "gating"] == [2, 1]
    assert whole[-1][1:3] == [10_000, 12_000]
    assert waiting == [["queued", 0, 7000, 0, True]]
    assert empty == []
    assert cut == [["preparing", 3000, 4000, 0, True]]
    assert backwards == [["queued", 0, 0, 0, False]]


def test_a_phone_shows_it(browser, system, remote):
    agent_id = system.spawn(remote, json.dumps({"steps": [{"say": "hello"}]}))
    system.wait(agent_id)
    with browsing(browser, system.api) as board:
        board.open(f"#/agents/{agent_id}/timeline")
        board.page.set_viewport_size({"width": 390, "height": 844})
        expect(board.page.get_by_role("list", name="Waterfall")).to_be_visible()
        assert board.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert faults_of(board.page) == []
