"""Limits as people write them, the status of a day, and the meter that falls silent."""

from __future__ import annotations

import re
from importlib.resources import files
from types import SimpleNamespace

import pytest

from orchestrator.control.budget import parse_limit
from orchestrator.errors import (
    AgentTimedOut,
    BudgetExceeded,
    LimitInvalid,
    SettingsInvalid,
    UsageReportsMissing,
)
from orchestrator.interfaces.agent import AgentMessage, ToolUse, UsageReport
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.models import BudgetStatus, Usage
from orchestrator.queries.budget import status_of
from orchestrator.settings import load_settings
from orchestrator.settings.values import parse_tokens
from orchestrator.stages.spawn.monitors.time import TimeMonitor
from orchestrator.stages.spawn.monitors.tokens import TokenMonitor
from tests.unit.agent_output.test_reader import transcript


def test_the_defaults_are_the_contracts():
    settings = load_settings({})
    assert (settings.daily_tokens, settings.agent_tokens) == (10_000_000, 2_000_000)
    assert (settings.budget_mode, settings.usage_silence_s) == ("hard", 600)


def test_a_fleet_that_was_told_nothing_keeps_to_the_same_defaults():
    script = (files("orchestrator.store") / "lua" / "_budget.lua").read_text("utf-8")
    stated = dict(re.findall(r"(\w+) = (\d+)", script.partition("DEFAULTS = ")[2].split("}")[0]))
    settings = load_settings({})
    assert stated == {
        "daily": str(settings.daily_tokens),
        "agent": str(settings.agent_tokens),
        "reservation": str(settings.reservation_tokens),
        "concurrency": str(settings.max_concurrent_agents),
    }


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("1", 1), ("200k", 200_000), ("5M", 5_000_000), ("1.5 m", 1_500_000), ("1b", 10**9)],
)
def test_tokens_have_sizes(text, tokens):
    assert parse_tokens(text) == tokens


BAD = ["0", "-1", "-5M", "1.5", "1.0005k", "NaN", "inf", "lots", "5 MM", "1e6", "2000b", "5,000"]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    "name", ["BUDGET_DAILY_TOKENS", "BUDGET_PER_AGENT_TOKENS", "BUDGET_RESERVATION"]
)
def test_a_wrong_limit_stops_the_start_and_names_the_variable(name, value):
    with pytest.raises(SettingsInvalid, match=name):
        load_settings({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUDGET_MODE", "medium"),
        ("BUDGET_DAILY", "5M"),
        ("ORCHESTRATOR_AGENT_TIMEOUT", "31d"),
        ("ORCHESTRATOR_USAGE_SILENCE", "0"),
        ("MAX_CONCURRENT_AGENTS", "1001"),
    ],
)
def test_what_would_be_no_limit_is_refused_as_well(name, value):
    with pytest.raises(SettingsInvalid, match=name):
        load_settings({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("daily", bad) for bad in BAD), ("concurrency", "0"), ("concurrency", "x"), ("time", "-2h")],
)
def test_at_run_time_a_wrong_limit_is_one_error(name, value):
    with pytest.raises(LimitInvalid, match=f"^{name}: "):
        parse_limit(name, value)


@pytest.mark.parametrize(
    ("used", "status"),
    [
        (0, BudgetStatus.WITHIN_BUDGET),
        (799, BudgetStatus.WITHIN_BUDGET),
        (800, BudgetStatus.APPROACHING_LIMIT),
        (999, BudgetStatus.APPROACHING_LIMIT),
        (1000, BudgetStatus.AT_LIMIT),
        (1001, BudgetStatus.EXCEEDED),
    ],
)
def test_a_day_has_four_statuses(used, status):
    assert status_of(used, 1000) is status


class Agent:
    """An agent that speaks, a meter that may not, a clock that is moved by hand."""

    def __init__(self, mode: str = "hard", *, reports_usage: bool = True) -> None:
        self.at_s, self.reported, self.overrun = 0.0, [], ""
        holder = SimpleNamespace(
            charge=lambda _agent, _facts: self.overrun,
            warn=lambda _agent, error: self.reported.append(error.code),
        )
        self.lease = SimpleNamespace(overrun="")
        self.said = transcript(
            tool=ToolUse("Bash"),
            notice=AgentMessage("API: 529", is_notice=True),
            **{f"u{n}": UsageReport(f"m{n}", Usage(input_tokens=n)) for n in range(1, 4)},
        )
        settings = load_settings({"ORCHESTRATOR_USAGE_SILENCE": "10m", "BUDGET_MODE": mode})
        self.watch = TokenMonitor(
            holder, settings, SimpleNamespace(agent_id="a"), self.lease, self.said, dict,
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


def test_a_limit_that_is_reached_ends_the_agent_whoever_hears_of_it_first():
    by_settling, by_heartbeat = Agent(), Agent()
    by_settling.overrun = "too much"
    with pytest.raises(BudgetExceeded, match="too much"):
        by_settling.says("u1")
    by_heartbeat.lease.overrun = "too much"
    with pytest.raises(BudgetExceeded, match="too much"):
        by_heartbeat.says()


@pytest.mark.parametrize("ran_s", [0.0, 50.0], ids=["first-attempt", "a-later-one"])
def test_time_runs_out_with_one_warning_and_by_the_limit_that_is_in_force(ran_s):
    """And it is the agent's: what earlier attempts took of it is gone."""
    at_s, reported, noted = [0.0], [], []
    limits = SimpleNamespace(time_s=100.0)
    holder = SimpleNamespace(
        store=SimpleNamespace(follow=lambda _flow: limits),
        warn=lambda _agent, error: reported.append(error.code),
        update=lambda _agent, facts: noted.append(facts["ranS"]),
    )
    agent = SimpleNamespace(ran_s=ran_s)
    watch = TimeMonitor(
        holder, None, agent, clock=lambda: at_s[0]
    )  # fmt: skip

    def look_at(now_s: float) -> None:
        at_s[0] = now_s - ran_s
        watch.check()

    look_at(79.9)
    assert reported == []
    for now_s in (80, 81, 99.9):
        look_at(now_s)
    assert reported == ["time_warning"]
    limits.time_s = 200.0
    look_at(100)
    limits.time_s = 110.0
    with pytest.raises(AgentTimedOut, match="its limit is 110 s"):
        look_at(115)
    assert noted[-1] == 115
