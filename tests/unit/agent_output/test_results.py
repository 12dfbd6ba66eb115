"""Of several results of one run the best one counts, by the rules of the module."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.agent_output.reader import OutputReader
from orchestrator.backends._claude_events import read_event
from orchestrator.interfaces.sandbox import Chunk


class Claude:
    """As much of the backend as reads."""

    reports_result = True
    signals = staticmethod(read_event)


def success(text: str | None, **more: object) -> dict[str, object]:
    return {"type": "result", "subtype": "success", "is_error": False, "result": text, **more}


def error(text: str, **more: object) -> dict[str, object]:
    return {
        "type": "result", "subtype": "error_during_execution", "is_error": True,
        "errors": [text], **more,
    }  # fmt: skip


def says(text: str, **more: object) -> dict[str, object]:
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"id": text, "content": content}, **more}


TOOL = {
    "type": "assistant",
    "message": {"id": "t", "content": [{"type": "tool_use", "id": "u", "name": "Edit"}]},
}


def heard(*events: object) -> OutputReader:
    transcript = OutputReader(
        Claude(), clock=lambda: datetime.now(UTC), secrets=(), line_limit_bytes=2**20
    )
    for event in events:
        transcript.feed(Chunk("stdout", json.dumps(event).encode() + b"\n"))
    transcript.finish()
    return transcript


@pytest.mark.parametrize(
    ("events", "ok", "summary"),
    [
        ((success("Done."), error("No such session", num_turns=0)), True, "Done."),
        ((success("Done."), TOOL, error("API error", num_turns=7)), True, "Done."),
        ((error("API error"), success("Done.")), True, "Done."),
        ((error("API error"), TOOL, success("Done.")), True, "Done."),
        ((success("Done."), says("Bye."), success("Bye.")), True, "Done."),
        ((success("Done.", num_turns=3), success("Bye.", num_turns=4)), True, "Done."),
        ((success("I wait."), TOOL, success("Done.")), True, "Done."),
        ((success("Done."), TOOL, success("", num_turns=0)), True, "Done."),
        ((success("", num_turns=0), success("Done.", num_turns=1)), True, "Done."),
        ((success(None), success("Done.")), True, "Done."),
        ((error("Too many turns", num_turns=9), error("Gone", num_turns=0)), False, None),
        ((error("First", num_turns=1), error("Too many turns", num_turns=2)), False, None),
    ],
)
def test_the_best_result_counts(events, ok, summary):
    transcript = heard(*events)
    assert transcript.result.ok is ok
    assert transcript.summary == (summary or "Too many turns")


@pytest.mark.parametrize("empty", [None, "", "  \n", "success", 5, [], {"text": "x"}])
def test_a_result_without_words_takes_the_agents_last(empty):
    aside = says("I looked.", parent_tool_use_id="u")
    assert heard(says("First."), says("Done."), aside, success(empty)).summary == "Done."
    assert heard(success(empty)).summary == ""


def test_what_a_session_has_cost_does_not_become_less():
    transcript = heard(success("x", total_cost_usd=0.5), error("y", num_turns=0, total_cost_usd=0))
    assert transcript.meter.total.client_cost_usd == 0.5


@pytest.mark.parametrize("indent", [None, 1])
def test_an_event_on_several_lines_is_put_together(indent):
    text = json.dumps(success("Done."), indent=indent)
    transcript = heard()
    half = len(text) // 2
    pieces = [text] if indent else [text[:half], text[half:]]
    for piece in pieces:
        transcript.feed(Chunk("stdout", piece.encode() + b"\n"))
    assert transcript.summary == "Done."
    assert transcript.unknown == 0


def test_half_an_event_is_logged_when_the_next_one_comes():
    transcript = heard()
    for line in (b'{"type": "result", "subt', b"a warning", json.dumps(success("Done.")).encode()):
        transcript.feed(Chunk("stdout", line + b"\n"))
    assert [line.source for line in transcript.drain_lines()] == ["stdout", "stdout", "result"]
    assert transcript.unknown == 2
