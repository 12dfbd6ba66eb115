"""An agent's output is data: bounded, masked, and its tokens counted once."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import pytest

from orchestrator.agent_output.lines import HEAD_BYTES
from orchestrator.agent_output.reader import LOG_TEXT_LIMIT, MUCH_SPENT, OutputReader
from orchestrator.agent_output.usage_meter import UsageMeter
from orchestrator.errors import AgentGarbled, BudgetExceeded
from orchestrator.interfaces.agent import (
    AgentMessage,
    Result,
    SessionStarted,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.interfaces.signals import ToolDone
from orchestrator.models import Usage


class Echo:
    """A backend whose protocol is: every line is a signal it was told, or a message."""

    reports_result = True

    def __init__(self, **signals: object) -> None:
        self._signals = signals

    def signals(self, line: bytes):
        text = line.decode(errors="replace")
        return [self._signals.get(text, AgentMessage(text))]


def transcript(limit: int = 1000, secrets: tuple[str, ...] = (), **signals: object) -> OutputReader:
    return OutputReader(
        Echo(**signals),
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        secrets=secrets,
        line_limit_bytes=limit,
    )


def texts(of: OutputReader) -> list[tuple[str, str]]:
    return [(line.source, line.text) for line in of.drain_lines()]


def test_lines_are_put_together_whatever_way_they_were_cut():
    said = transcript()
    for part in (b"fi", b"rst\nsec", b"ond\r\n\nla", b"st"):
        said.feed(Chunk("stdout", part))
    said.feed(Chunk("stderr", b"oops\n"))
    said.finish()
    assert texts(said) == [
        ("agent", "first"),
        ("agent", "second"),
        ("stderr", "oops"),
        ("agent", "last"),
    ]
    assert texts(said) == []


def test_a_line_over_the_limit_is_told_with_its_beginning_and_the_next_is_read():
    said = transcript(limit=100, done=Result(ok=True, summary="x"))
    for source in ("stdout", "stderr"):
        for _ in range(3):
            said.feed(Chunk(source, b"x" * 60))
        said.feed(Chunk(source, b"\nnext\n"))
    begin = "[line of 180 bytes, the limit is 100] xxx"
    cut, after, *errors = texts(said)
    assert cut[0] == "stdout"
    assert cut[1].startswith(begin)
    assert after == ("agent", "next")
    assert [source for source, _ in errors] == ["stderr", "stderr"]
    assert said.unknown == 1


def test_a_line_without_an_end_takes_no_more_memory_than_its_limit():
    said = transcript(limit=2**20)
    tracemalloc.start()
    for _ in range(500):
        said.feed(Chunk("stdout", b"x" * 2**16))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20
    said.finish()
    ((_, text),) = texts(said)
    assert text.startswith(f"[line of {500 * 2**16} bytes")
    assert len(text) < 2 * HEAD_BYTES


def test_long_texts_are_cut_in_the_log():
    said = transcript(limit=100_000)
    said.feed(Chunk("stdout", b"x" * (LOG_TEXT_LIMIT + 5) + b"\n"))
    ((_, text),) = texts(said)
    assert text.endswith("[…5 more characters]")


def test_secrets_of_the_settings_are_masked_in_log_and_summary():
    said = transcript(secrets=("s3cret",), done=Result(ok=True, summary="used s3cret"))
    said.feed(Chunk("stdout", b"key s3cret here\ndone\n"))
    said.feed(Chunk("stderr", b"s3cret\n"))
    assert [text for _, text in texts(said)] == ["key [masked] here", "used [masked]", "[masked]"]
    assert said.summary == "used [masked]"


def test_bytes_that_are_no_text_do_not_hurt():
    said = transcript()
    said.feed(Chunk("stderr", b"\xff\xfe\x00\n"))
    assert len(texts(said)) == 1


def test_signals_become_session_result_and_lines():
    said = transcript(
        s=SessionStarted("id-1"), t=ToolUse("Write", "a.py"), r=Result(False, "gave up", 0.25)
    )
    said.feed(Chunk("stdout", b"s\nt\nr\n"))
    assert said.session_id == "id-1"
    assert said.result == Result(False, "gave up", 0.25)
    assert said.meter.total.client_cost_usd == 0.25
    assert texts(said) == [("tool", "Write a.py"), ("error", "gave up")]


def test_the_output_of_a_tool_is_logged_with_the_id_of_its_call():
    long = "a" * 1000 + "middle" + "s3cret" + "z" * 3000
    said = transcript(
        secrets=("s3cret",), t=ToolUse("Bash", "make", "u1"), o=ToolDone("u1", "12 passed"),
        q=ToolDone("u2"), f=ToolDone("u3", is_failed=True), l=ToolDone("u4", long),
    )  # fmt: skip
    said.feed(Chunk("stdout", b"t\no\nq\nf\nl\n"))
    lines = said.drain_lines()
    assert [(line.source, line.text, line.tool) for line in lines[:3]] == [
        ("tool", "Bash make", "u1"), ("output", "12 passed", "u1"), ("failed", "", "u3"),
    ]  # fmt: skip
    # A secret at the edge of the middle is masked before the middle is left out.
    assert lines[3].text == "a" * 1000 + "\n[… 14 characters …]\n" + "z" * 3000


def test_tokens_of_one_message_count_once_at_their_largest():
    meter = UsageMeter()
    for input_tokens, output_tokens in ((10, 1), (10, 7), (10, 7), (10, 3)):
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        meter.add(UsageReport("m-1", usage))
    meter.add(UsageReport("m-2", Usage(input_tokens=5, cache_read_tokens=100)))
    assert meter.total == Usage(
        input_tokens=15, output_tokens=7, cache_read_tokens=100, total_tokens=122
    )


def test_what_is_spent_is_of_each_message_the_larger_of_what_is_told_and_seen():
    def report(message_id: str, tokens: int) -> UsageReport:
        return UsageReport(message_id, Usage(output_tokens=tokens))

    said = transcript(a=report("a", 10), b=report("b", 5), r=Result(True, "done", 0.5))
    said.feed(Chunk("stdout", b"a\n"))
    for seen in (report("a", 8), report("b", 7), report("hidden", 100)):
        said.see(seen)
    said.feed(Chunk("stdout", b"b\nr\n"))
    assert said.spent == Usage(output_tokens=117, total_tokens=117, client_cost_usd=0.5)
    assert said.meter.total.total_tokens == 15
    assert said.messages == 2


def test_a_backend_that_does_not_expect_a_line_loses_that_line_alone():
    """One of another package may know no better."""

    class Strict(Echo):
        def signals(self, line):
            if line.startswith(b"!"):
                raise [AgentGarbled("no"), KeyError("type"), ValueError("x")][int(line[1:])]
            return super().signals(line)

    said = OutputReader(
        Strict(), clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), secrets=(), line_limit_bytes=99
    )
    said.feed(Chunk("stdout", b"!0\n!1\n!2\nafter\n"))
    assert [source for source, _ in texts(said)] == ["stdout"] * 3 + ["agent"]
    assert said.unknown == 3


def test_tokens_no_message_can_have_are_named_once_and_never_counted():
    absurd = UsageReport("m", Usage(output_tokens=10**9))
    said = transcript(a=absurd, b=UsageReport("n", Usage(output_tokens=5)))
    said.feed(Chunk("stdout", b"a\na\nb\n"))
    assert said.spent.total_tokens == 5
    assert [text[:26] for _, text in texts(said)] == ["not believed, and not coun"]
    assert said.unknown == 2


def test_much_that_is_spent_is_accounted_for_before_the_next_line_is_read():
    report = UsageReport("m", Usage(output_tokens=MUCH_SPENT))
    said = transcript(a=report, b=UsageReport("n", Usage(output_tokens=MUCH_SPENT)))

    def stop() -> None:
        msg = "enough"
        raise BudgetExceeded(msg)

    said.on_much_spent = stop
    with pytest.raises(BudgetExceeded):
        said.feed(Chunk("stdout", b"a\nb\nb\n"))
    assert said.spent.total_tokens == MUCH_SPENT


def test_lines_that_were_not_stored_are_counted_once():
    said = transcript()
    said.record("one")
    said.record("two")
    said.dropped_lines.add(len(said.drain_lines()))
    said.record("three")
    # The line with the number is not stored either, and is none of the agent's.
    said.dropped_lines.add(len(said.drain_lines()))
    said.record("four")
    (_, number), (_, line) = texts(said)
    assert (number.split()[0], line) == ("3", "four")
    said.record("five")
    assert texts(said) == [("orchestrator", "five")]
