"""Limits of tokens, agents and time, as people write them."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from orchestrator.control.budget import parse_limit
from orchestrator.errors import (
    LimitInvalid,
    SettingsInvalid,
)
from orchestrator.settings import load_settings
from orchestrator.settings.values import parse_tokens


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
