"""Tokens end an agent at its limit, and missing usage reports are a fault."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orchestrator.errors import (
    BudgetExceeded,
    UsageReportsMissing,
)
from orchestrator.interfaces.agent import AgentMessage, ToolUse, UsageReport
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.models import Usage
from orchestrator.settings import load_settings
from orchestrator.stages.spawn.monitors.tokens import TokenMonitor
from tests.unit.agent_output.test_reader import transcript


class Agent:
    """An agent that speaks, a meter that may not, a clock that is moved by hand."""

    def __init__(self, mode: str = "hard", *, reports_usage: bool = True) -> None:
        self.at_s, self.reported, self.overrun = 0.0, [], ""
        self.limits = SimpleNamespace(mode=mode, daily_usd=None, agent_usd=None)
        holder = SimpleNamespace(
            store=SimpleNamespace(follow=lambda _flow: self.limits),
            charge=lambda _agent, _facts: self.overrun,
            warn=lambda _agent, error: self.reported.append(error.code),
        )
        self.lease = SimpleNamespace(overrun="")
        self.said = transcript(
            tool=ToolUse("Bash"),
            notice=AgentMessage("API: 529", is_notice=True),
            **{f"u{n}": UsageReport(f"m{n}", Usage(input_tokens=n)) for n in range(1, 4)},
        )
        settings = load_settings({"ORCHESTRATOR_USAGE_SILENCE": "10m"})
        state = SimpleNamespace(agent_id="a", max_cost_usd=None)
        self.watch = TokenMonitor(
            holder, settings, state, self.lease, self.said, dict,
            reports_usage, clock=lambda: self.at_s,
        )  # fmt: skip

    def says(self, *words: str, after_s: float = 0) -> None:
        self.at_s += after_s
        self.said.feed(Chunk("stdout", b"".join(word.encode() + b"\n" for word in words)))
        self.watch.check()


def test_words_without_tokens_for_too_long_are_a_fault():
    agent = Agent()
    agent.says("u1", "hello")
    agent.says("tool", after_s=3600)
    agent.says("hello", after_s=599)
    with pytest.raises(UsageReportsMissing, match="600 s"):
        agent.says("hello", after_s=1)


def test_a_meter_that_speaks_again_is_no_fault_nor_is_a_tool_that_takes_long():
    agent = Agent()
    agent.says("hello")
    agent.says("u1", "tool", after_s=599)
    agent.says("hello", after_s=7200)
    agent.says("u2", after_s=1)
    agent.says(after_s=7200)
    agent.says("notice", after_s=7200)
    agent.says("notice", after_s=7200)


def test_who_reports_no_tokens_is_not_asked_for_them():
    agent = Agent(reports_usage=False)
    agent.says("hello")
    agent.says("hello", after_s=3600)


def test_in_soft_mode_a_silent_meter_is_told_once():
    agent = Agent("soft")
    for _ in range(4):
        agent.says("hello", after_s=600)
    assert agent.reported == ["usage_reports_missing"]


def test_the_mode_in_force_counts_not_that_of_the_start():
    agent = Agent("soft")
    agent.says("hello")
    agent.says("hello", after_s=600)
    agent.limits.mode = "hard"
    with pytest.raises(UsageReportsMissing):
        agent.says("hello", after_s=1)


def test_a_limit_that_is_reached_ends_the_agent_whoever_hears_of_it_first():
    by_settling, by_heartbeat = Agent(), Agent()
    by_settling.overrun = "too much"
    with pytest.raises(BudgetExceeded, match="too much"):
        by_settling.says("u1")
    by_heartbeat.lease.overrun = "too much"
    with pytest.raises(BudgetExceeded, match="too much"):
        by_heartbeat.says()
