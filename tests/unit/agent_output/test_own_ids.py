"""Reports under ids of the client's own are not added to what the egress proxy saw."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.agent_output.reader import OutputReader
from orchestrator.interfaces.agent import UsageReport
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.models import Usage
from orchestrator.models.tokens import MOST_TOKENS_OF_A_MESSAGE, MOST_TOKENS_OF_A_SESSION


class Reporter:
    """A backend whose every line is a report of so many tokens."""

    def __init__(self, **kind: bool) -> None:
        self._kind = kind

    def signals(self, line: bytes) -> list[UsageReport]:
        name, tokens = line.decode().split()
        return [UsageReport(name, Usage(output_tokens=int(tokens)), **self._kind)]


def reader(**kind: bool) -> OutputReader:
    return OutputReader(
        Reporter(**kind),
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        secrets=(),
        line_limit_bytes=1000,
    )


def say(output: OutputReader, *lines: str) -> None:
    output.feed(Chunk("stdout", "".join(f"{line}\n" for line in lines).encode()))


@pytest.mark.parametrize(
    ("seen", "told", "spent"), [(30, 20, 30), (20, 30, 30), (0, 30, 30), (30, 0, 30)]
)
def test_the_larger_sum_counts(seen, told, spent):
    output = reader(has_own_id=True)
    output.see(UsageReport("resp-1", Usage(output_tokens=seen)))
    say(output, f"step-1 {told}")
    assert output.spent.total_tokens == spent
    assert output.meter.total.total_tokens == told


def test_messages_with_own_ids_add_up_and_those_of_the_provider_do_not_add_to_them():
    output = reader(has_own_id=True)
    for number in (1, 2):
        output.see(UsageReport(f"resp-{number}", Usage(output_tokens=10)))
        say(output, f"step-{number} 10")
    assert output.spent.total_tokens == 20


def test_a_message_under_the_id_of_the_provider_counts_once():
    output = reader()
    output.see(UsageReport("m-1", Usage(output_tokens=10)))
    say(output, "m-1 12", "m-2 5")
    assert output.spent.total_tokens == 17


def test_a_sum_may_be_larger_than_a_message_but_not_without_a_bound():
    large = MOST_TOKENS_OF_A_MESSAGE + 1
    output = reader(has_own_id=True, is_sum=True)
    say(output, "turn 10", f"turn {large}")
    assert output.spent.total_tokens == large
    assert not output.refused_usage
    say(output, f"turn {MOST_TOKENS_OF_A_SESSION + 1}")
    assert output.spent.total_tokens == large
    assert "more than" in output.refused_usage

    single = reader(has_own_id=True)
    say(single, f"step-1 {large}")
    assert single.spent.total_tokens == 0
