"""The screen of `orch top` fits any terminal, and shows first who needs attention."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import click
import pytest
from rich.cells import cell_len

from orchestrator.cli.output.top_text import Screen, top_lines
from orchestrator.models import (
    AgentState,
    BudgetLimits,
    BudgetStatus,
    BudgetSummary,
    QueueState,
    Status,
    Usage,
)
from orchestrator.models.attention import Attention, Rank
from orchestrator.models.budget import Spend
from tests.unit.queries.test_recap import NOW, agent

LIMITS = BudgetLimits(
    mode="hard", daily_tokens=10_000_000, agent_tokens=2_000_000, reservation_tokens=1000,
    concurrency=10, time_s=7200,
)  # fmt: skip
BUDGET = BudgetSummary(
    day="2026-11-28", status=BudgetStatus.WITHIN_BUDGET,
    limit=10_000_000, used=2_500_000, reserved=1000,
    percent=25.0, cost_usd=1.5, delivered=Spend(), in_nothing=Spend(), unfinished=Spend(),
    running=3, waiting=2, limits=LIMITS,
)  # fmt: skip
QUEUE = QueueState(
    name="spawn", pending=2, active=3, completed=9, failed=1, delayed=0, is_paused=True,
    oldest_age_s=7.0,
)  # fmt: skip


def running(name: str, **facts: Any) -> AgentState:
    return agent(name, Status.RUNNING, phase="executing", completed_at=None, **facts)


def screen(*agents: AgentState, why: str = "it stalled") -> Screen:
    need = Attention(code="stalled", why=why, command="orch kill x", rank=Rank.STALLED)
    return Screen(NOW, BUDGET, (QUEUE,), agents, {agents[0].agent_id: need} if agents else {})


WIDE = "修正" * 40
MANY = [running(f"{number:08}-rest", task_id=WIDE, repository=f"/{WIDE}") for number in range(40)]


@pytest.mark.parametrize("width", [20, 80, 120, 200])
@pytest.mark.parametrize("height", [1, 5, 24, 60])
def test_no_line_is_wider_and_no_screen_is_higher(width, height):
    lines = top_lines(screen(*MANY, why=WIDE), width, height)
    assert len(lines) <= height
    assert max(cell_len(click.unstyle(line)) for line in lines) <= width


def test_it_shows_limits_queues_and_the_reason_before_the_tokens_of_others():
    first = running("abcdef01-0000", usage=Usage(total_tokens=123), task_id="checkout")
    shown = screen(first, running("b"))
    lines = [click.unstyle(line) for line in top_lines(shown, 100, 24)]
    assert "slots 3 of 10 · 2 waiting" in lines[0]
    assert "need attention 1" in lines[0]
    assert "tokens today 2500000 of 10000000 (25 %)" in lines[1]
    assert "spawn 3 active, 2 pending, oldest 7s, paused" in lines[2]
    assert lines[5].split() == ["!", "abcdef01", "executing", "2:00:00", "123", "it", "stalled"]
    assert lines[6].split() == ["b", "executing", "2:00:00", "0", "t-b"]
    (wide,) = [line for line in top_lines(shown, 160, 24) if "abcdef01" in line]
    assert "checkout" in wide
    assert "it stalled" in wide


def test_what_does_not_fit_is_counted_and_an_empty_fleet_says_so():
    lines = top_lines(screen(*MANY), 80, 10)
    assert lines[-1] == "and 36 more: orch ls"
    assert len([line for line in lines if "executing" in line]) == 4
    assert "no agent is active" in top_lines(screen(), 80, 24)[-1]


def test_a_wide_terminal_shows_repository_and_round_too():
    lines = [click.unstyle(line) for line in top_lines(screen(running("a", rounds=3)), 160, 24)]
    assert "REPOSITORY" in lines[4]
    assert " shop " in lines[5]
    narrow = [click.unstyle(line) for line in top_lines(screen(running("a")), 80, 24)]
    assert "REPOSITORY" not in narrow[4]


def test_old_facts_and_hostile_text_are_marked_and_harmless():
    hostile = running("a", task_id="\x1b[2Jx\ny", repository="/srv/\x1b]0;t\x07.git")
    lines = top_lines(screen(hostile, why="\x9bx\u202e"), 160, 24, away="Valkey is\ngone.")
    assert lines[3] == "OLD: Valkey is gone."
    for line in lines:
        assert click.unstyle(line).isprintable()


def test_an_agent_of_a_host_whose_clock_is_ahead_has_no_negative_age():
    ahead = replace(screen(running("a", spawned_at=NOW + timedelta(hours=1))))
    assert "0:00:00" in top_lines(ahead, 80, 24)[5]
