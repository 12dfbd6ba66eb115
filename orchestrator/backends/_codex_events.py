"""The events of `codex exec --json` that the orchestrator reads, and their meaning.

No line is an error; unknown events and items are ignored. A turn reports its tokens once, at its
end, as the sum over the thread since it was started or imported.
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
from orchestrator.models.text import storable
from orchestrator.models.tokens import MOST_TOKENS_OF_A_SESSION

#: Codex chooses the thread id; no other form may become an argument or a path.
THREAD = UUID
_DETAIL_LIMIT = 500
#: Codex words a status of the provider; for 500 and above it speaks of high demand.
_LIMITED = re.compile(
    r"\b(429|503|529)\b|too many requests|rate limit|usage limit|high demand|at capacity|quota",
    re.IGNORECASE,
)
#: Items that are no tool: text, plans and notices.
_NO_TOOL = frozenset({"agent_message", "reasoning", "error", "todo_list"})
_NOT_DONE = frozenset({"failed", "declined"})
#: The fields of an item that tell what the tool does.
_DETAILS = ("command", "changes", "query", "tool", "arguments", "prompt")


def read_event(line: bytes) -> Sequence[Signal]:
    """Read one line, which may contain any number of events."""
    return read_events(line, _READERS)


def _thread(event: Fields) -> Iterator[Signal]:
    thread_id = event.text("thread_id")
    if THREAD.fullmatch(thread_id):
        yield SessionStarted(thread_id)


def _item_started(event: Fields) -> Iterator[Signal]:
    item = event.inner("item")
    kind = item.text("type")
    if kind and kind not in _NO_TOOL:
        detail = next((item.raw(name) for name in _DETAILS if item.has(name)), None)
        text = storable(detail) if isinstance(detail, str) else as_json(detail) if detail else ""
        yield ToolUse(kind, text[:_DETAIL_LIMIT], item.id("id"))


def _item_completed(event: Fields) -> Iterator[Signal]:
    item = event.inner("item")
    kind = item.text("type")
    if kind == "agent_message":
        if text := item.text("text"):
            yield AgentMessage(text)
    elif kind == "error":
        yield AgentMessage(item.text("message"), is_notice=True)
    elif kind and kind not in _NO_TOOL:
        is_failed = item.text("status") in _NOT_DONE
        yield ToolDone(item.id("id"), item.text("aggregated_output"), is_failed)


def _notice(event: Fields) -> Iterator[Signal]:
    yield AgentMessage(event.text("message"), is_notice=True)


def _turn_completed(event: Fields) -> Iterator[Signal]:
    if event.has("usage"):
        yield UsageReport("turn", _tokens(event.inner("usage")), has_own_id=True, is_sum=True)
    yield Result(ok=True)


def _turn_failed(event: Fields) -> Iterator[Signal]:
    message = event.inner("error").text("message") or "Codex ended without a word of how."
    yield Result(ok=False, summary=message, is_limited=_LIMITED.search(message) is not None)


def _tokens(usage: Fields) -> Usage:
    """Read the counts; those of the cache are part of the input, and reasoning of the output."""
    counts = {name: usage.whole(name, most=MOST_TOKENS_OF_A_SESSION) or 0 for name in _COUNTS}
    sent, read, written, output = counts.values()
    read = min(read, sent)
    written = min(written, sent - read)
    return Usage(
        input_tokens=sent - read - written,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


_COUNTS = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens")
_READERS: Mapping[str, Reader] = {
    "thread.started": _thread,
    "item.started": _item_started,
    "item.completed": _item_completed,
    "error": _notice,
    "turn.completed": _turn_completed,
    "turn.failed": _turn_failed,
}
