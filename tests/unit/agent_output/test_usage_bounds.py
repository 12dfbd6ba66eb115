"""What an agent reports of its tokens is bounded per message, and by what its proxy has read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from orchestrator.agent_output.reader import OutputReader
from orchestrator.backends.scripted import build
from orchestrator.egress.usage_observer import UsageObserver
from orchestrator.interfaces.agent import UsageReport
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.models import ApiTokens, Usage
from orchestrator.models.warning import WarningCode
from orchestrator.settings import load_settings
from orchestrator.stages.spawn.monitors.tokens import TokenMonitor


@pytest.fixture
def settings(tmp_path):
    return load_settings({"ORCHESTRATOR_HOME": str(tmp_path), "BUDGET_PER_MESSAGE_TOKENS": "300k"})


@pytest.fixture
def reader(settings):
    return OutputReader(
        build(settings),
        clock=lambda: datetime.now(UTC),
        secrets=(),
        line_limit_bytes=2**20,
        most_tokens=settings.message_tokens,
    )


def say(reader, number, tokens):
    document = {"type": "tokens", "id": str(number), "output": tokens}
    reader.feed(Chunk("stdout", json.dumps(document).encode() + b"\n"))


def observed(reader):
    """Connect the reader with the observer of a proxy, as an egress session does."""
    observer = UsageObserver(reader.see)
    reader.most_spent = observer.most_spent
    return observer


@pytest.mark.parametrize("tokens", [10**12, 300_001])
def test_a_report_above_the_bound_of_a_message_is_not_counted(reader, tokens):
    say(reader, 1, 200)
    say(reader, 2, tokens)
    say(reader, 3, 300_000)
    assert reader.spent.total_tokens == 300_200
    assert str(tokens) in reader.refused_usage


def test_many_reports_count_no_more_than_the_proxy_has_read(reader):
    observer = observed(reader)
    observer.observe("a", ApiTokens(output_tokens=1000))
    for number in range(1000):
        say(reader, number, 250_000)
    assert reader.spent.total_tokens <= 1000 + 200_000
    assert "more than the model's responses had" in reader.refused_usage
    # What the proxy reads counts, whatever the agent has claimed.
    observer.observe("b", ApiTokens(output_tokens=250_000))
    assert reader.spent.total_tokens >= 251_000


def test_repeated_reports_of_the_messages_that_the_proxy_read_are_believed(reader):
    observer = observed(reader)
    for number in range(50):
        observer.observe(str(number), ApiTokens(output_tokens=20_000))
        for _ in range(3):
            say(reader, number, 20_000)
    assert (reader.spent.total_tokens, reader.refused_usage) == (1_000_000, "")


def test_reports_are_believed_where_no_response_passes_the_proxy(reader):
    observed(reader)
    say(reader, 1, 250_000)
    assert (reader.spent.total_tokens, reader.refused_usage) == (250_000, "")


def test_a_refused_report_is_one_event_and_ends_nothing(reader, settings):
    warned = []
    holder = SimpleNamespace(
        charge=lambda _agent, _facts: "", warn=lambda _agent, warning: warned.append(warning)
    )
    monitor = TokenMonitor(
        holder, settings, None, SimpleNamespace(overrun=""), reader, dict, reports_usage=False
    )
    for number in range(3):
        say(reader, number, 10**12)
        monitor.check()
    assert [warning.code for warning in warned] == [WarningCode.USAGE_REFUSED]
    assert "1000000000000" in warned[0].text


def test_the_memory_of_ever_new_messages_is_bounded(reader):
    for number in range(20_000):
        reader.meter.add(UsageReport(str(number), Usage(output_tokens=1)))
    assert len(reader.meter._by_message) <= 4096
    assert reader.meter.total.total_tokens == 20_000
