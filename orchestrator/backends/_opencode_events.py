"""The events of `opencode run --format json` that the orchestrator reads, and their meaning.

No line is an error; unknown events are ignored. Each step reports the tokens of its message. The
client adds the event `end` with the exit code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.backends._event_readers import Reader, read_events
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
from orchestrator.models.tokens import MOST_TOKENS_OF_A_MESSAGE

#: No other form may become an argument.
SESSION = re.compile(r"ses_[A-Za-z0-9]{1,64}")
_DETAIL_LIMIT = 500
_MOST_STATUS = 999
_LIMITED_STATUS = frozenset({429, 503, 529})
_LIMITED = re.compile(r"too many requests|rate.?limit|overloaded|quota", re.IGNORECASE)


def read_event(line: bytes) -> Sequence[Signal]:
    """Read one line, which may contain any number of events."""
    return read_events(line, _READERS)


def _step_start(event: Fields) -> Iterator[Signal]:
    session_id = event.text("sessionID")
    if SESSION.fullmatch(session_id):
        yield SessionStarted(session_id)


def _text(event: Fields) -> Iterator[Signal]:
    if text := event.inner("part").text("text"):
        yield AgentMessage(text)


def _tool_use(event: Fields) -> Iterator[Signal]:
    # The event comes when the tool has ended.
    part = event.inner("part")
    state = part.inner("state")
    detail, call = as_json(state.raw("input"), most=_DETAIL_LIMIT), part.id("callID")
    yield ToolUse(part.text("tool"), detail, call)
    is_failed = state.text("status") == "error"
    yield ToolDone(call, state.text("error" if is_failed else "output"), is_failed)


def _step_finish(event: Fields) -> Iterator[Signal]:
    part = event.inner("part")
    tokens = part.inner("tokens")
    if not part.has("tokens"):
        return
    cache = tokens.inner("cache")
    usage = Usage(
        input_tokens=_count(tokens, "input"),
        output_tokens=_count(tokens, "output") + _count(tokens, "reasoning"),
        cache_read_tokens=_count(cache, "read"),
        cache_write_tokens=_count(cache, "write"),
    )
    yield UsageReport(part.id("id"), usage, has_own_id=True)


def _count(tokens: Fields, name: str) -> int:
    return tokens.whole(name, most=MOST_TOKENS_OF_A_MESSAGE) or 0


def _error(event: Fields) -> Iterator[Signal]:
    error = event.inner("error")
    data = error.inner("data")
    message = data.text("message") or error.text("name") or "OpenCode gave no reason."
    status = data.whole("statusCode", most=_MOST_STATUS)
    is_limited = status in _LIMITED_STATUS or _LIMITED.search(message) is not None
    yield Result(ok=False, summary=message, is_limited=is_limited)


def _end(event: Fields) -> Iterator[Signal]:
    if event.whole("code", most=_MOST_STATUS) == 0:
        yield Result(ok=True)


_READERS: Mapping[str, Reader] = {
    "step_start": _step_start,
    "text": _text,
    "tool_use": _tool_use,
    "step_finish": _step_finish,
    "error": _error,
    "end": _end,
}
