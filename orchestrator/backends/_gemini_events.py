"""The events of `gemini --output-format stream-json` that the orchestrator reads.

No line is an error; unknown events are ignored. The client has joined the pieces of messages. The
result reports the tokens of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.backends._event_readers import UUID, Reader, read_events
from orchestrator.backends._fields import Fields, as_json
from orchestrator.interfaces.agent import (
    AgentMessage,
    Result,
    SessionStarted,
    Signal,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.signals import ToolDone
from orchestrator.models import Usage
from orchestrator.models.tokens import MOST_TOKENS_OF_A_SESSION

#: No other form may become an argument or a path.
SESSION = UUID
_DETAIL_LIMIT = 500
_LIMITED = re.compile(
    r"\b(429|503)\b|too many requests|resource.?exhausted|quota|overloaded|unavailable",
    re.IGNORECASE,
)


def read_event(line: bytes) -> Sequence[Signal]:
    """Read one line, which may contain any number of events."""
    return read_events(line, _READERS)


def _init(event: Fields) -> Iterator[Signal]:
    session_id = event.text("session_id")
    if SESSION.fullmatch(session_id):
        yield SessionStarted(session_id)


def _message(event: Fields) -> Iterator[Signal]:
    if event.text("role") == "assistant" and (text := event.text("content")):
        yield AgentMessage(text)


def _tool_use(event: Fields) -> Iterator[Signal]:
    detail = as_json(event.raw("parameters"), most=_DETAIL_LIMIT)
    yield ToolUse(event.text("tool_name"), detail, event.id("tool_id"))


def _tool_result(event: Fields) -> Iterator[Signal]:
    is_failed = event.text("status") == "error"
    error = event.inner("error").text("message") if is_failed else ""
    yield ToolDone(event.id("tool_id"), error or event.text("output"), is_failed)


def _notice(event: Fields) -> Iterator[Signal]:
    yield AgentMessage(event.text("message"), is_notice=True)


def _result(event: Fields) -> Iterator[Signal]:
    stats = event.inner("stats")
    if event.has("stats"):
        counts = {name: stats.whole(name, most=MOST_TOKENS_OF_A_SESSION) or 0 for name in _COUNTS}
        sent, cached, output = counts.values()
        cached = min(cached, sent)
        usage = Usage(input_tokens=sent - cached, output_tokens=output, cache_read_tokens=cached)
        yield UsageReport("run", usage, has_own_id=True, is_sum=True)
    if event.text("status") == "success":
        yield Result(ok=True)
        return
    message = event.inner("error").text("message") or "Gemini CLI ended without a word of how."
    yield Result(ok=False, summary=message, is_limited=_LIMITED.search(message) is not None)


_COUNTS = ("input_tokens", "cached", "output_tokens")
_READERS: Mapping[str, Reader] = {
    "init": _init,
    "message": _message,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "error": _notice,
    "result": _result,
}
