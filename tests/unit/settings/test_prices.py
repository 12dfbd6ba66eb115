"""The price table: names, precedence of an operator's file, and faults of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings.prices import Price, price_table

SHIPPED = price_table(None)
OWN = """
date = 2026-12-01
[anthropic]
claude-opus-5 = { input = 1.0, output = 2.0 }
team = "claude-haiku-4-5"
[compatible]
"qwen/coder" = { input = 0.0, output = 0.0 }
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("claude-opus-5-20260301", "claude-opus-5"),
        ("claude-opus-5[1m]", "claude-opus-5"),
        ("anthropic/claude-opus-5", "claude-opus-5"),
        ("opus", "claude-opus-5"),
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
        ("gpt-5.4-mini-2026-03-17", "gpt-5.4-mini"),
        ("gemini/gemini-2.5-pro-002", "gemini-2.5-pro"),
    ],
)
def test_dated_and_short_names_have_the_price_of_their_model(name, entry):
    assert SHIPPED.of(name) == SHIPPED.of(entry) is not None


@pytest.mark.parametrize(
    "name",
    ["", "m-1", "claude-opus-5-7", "gpt-5.4-large", "openai/claude-opus-5", "compatible/gpt-5.4"],
)
def test_another_version_or_provider_has_no_price(name):
    assert SHIPPED.of(name) is None


def test_the_entries_of_the_operator_precede_the_shipped_ones(own):
    table = price_table(own)
    assert table.of("claude-opus-5-20260301") == Price(input=1, output=2)
    assert table.of("team") == SHIPPED.of("claude-haiku-4-5")
    assert table.of("compatible/qwen/coder") == table.of("qwen/coder") == Price(input=0, output=0)
    assert table.of("gpt-5.4") == SHIPPED.of("gpt-5.4")
    assert table.files == (
        f"ORCHESTRATOR_PRICES: {own} of 2026-12-01",
        *SHIPPED.files,
    )


def test_cached_tokens_cost_what_the_entry_says_or_as_much_as_others():
    price = Price(input=2, output=8, cache_read=0.5, cache_write=3)
    assert price.cost_usd(input_tokens=10**6, cache_read_tokens=2 * 10**6) == 3.0
    assert price.cost_usd(output_tokens=500_000, cache_write_tokens=10**6) == 7.0
    assert price.most_of_prompt == 3.0
    plain = Price(input=2, output=8)
    assert plain.cost_usd(cache_read_tokens=10**6, cache_write_tokens=10**6) == 4.0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[openai]", "date"),
        ("date = 2026-12-01\n[openai]\na = { input = -1, output = 2 }", "openai.a"),
        ("date = 2026-12-01\n[openai]\na = { input = 1 }", "openai.a"),
        ("date = 2026-12-01\n[openai]\na = { input = nan, output = 2 }", "openai.a"),
        ('date = 2026-12-01\n[openai]\na = "b"', "no price of 'b'"),
        ("date = ", "Invalid"),
    ],
)
def test_a_fault_of_a_file_names_it(tmp_path, text, fault):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(SettingsInvalid, match=fault) as caught:
        price_table(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        price_table(tmp_path / "none.toml")
