"""The events of Claude Code's JSON stream that the orchestrator reads, and their meaning.

No line is an error. A part that is no event is returned as foreign. Each field of an event is read
separately, so that one wrong field does not affect the others. Most releases of Claude Code add
fields, and kinds of events and of blocks; unknown ones are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

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
from orchestrator.interfaces.signals import (
    LimitReached,
    OpenTasks,
    TaskChanged,
    ToolDone,
)
from orchestrator.models import ApiTokens
from orchestrator.models.text import storable
from orchestrator.models.tokens import MOST_COST_USD

#: The agent chooses the session id; no other form may become an argument or a path.
SESSION = UUID
_DETAIL_LIMIT = 500
#: Too many requests, overloaded.
_LIMITED = frozenset({429, 529})
_MOST_STATUS, _MOST_TRIES, _MOST_TURNS = 999, 10**6, 10**6
#: The year 2100; the start of a provider's next window must lie before it.
_LATEST_S = 4_102_444_800
_MOST_OPEN = 1000
_STILL_OPEN = frozenset({"", "pending", "running"})
_SUCCESS = "success"


def read_event(line: bytes) -> Sequence[Signal]:
    """Read one line, which may contain any number of events; unknown events give no signal."""
    return read_events(line, _READERS)


# ── events of the program ───────────────────────────────────────────────────────────────────


def _system(event: Fields) -> Iterator[Signal]:
    reader = _SYSTEM.get(event.text("subtype"))
    if reader is not None:
        yield from reader(event)


def _init(event: Fields) -> Iterator[Signal]:
    session_id = event.text("session_id")
    if SESSION.fullmatch(session_id):
        yield SessionStarted(session_id)


def _retry(event: Fields) -> Iterator[Signal]:
    # With a refused key the retries last for minutes; the status is reported at once.
    status = event.whole("error_status", most=_MOST_STATUS) or "no answer"
    cause = f"{status} ({event.text('error') or None})"
    attempt, most = (event.whole(name, most=_MOST_TRIES) for name in ("attempt", "max_retries"))
    yield AgentMessage(f"API: {cause}, retry {attempt or 0} of {most or 0}", is_notice=True)


def _task_started(event: Fields) -> Iterator[Signal]:
    if task := event.id("task_id"):
        yield TaskChanged(task, is_open=True)


def _task_ended(event: Fields) -> Iterator[Signal]:
    if task := event.id("task_id"):
        yield TaskChanged(task, is_open=False)


def _task_updated(event: Fields) -> Iterator[Signal]:
    if event.inner("patch").text("status") not in _STILL_OPEN:
        yield from _task_ended(event)


def _tasks(event: Fields) -> Iterator[Signal]:
    ids = [task.id("task_id") for task in event.objects("tasks")]
    if isinstance(event.raw("tasks"), list):
        yield OpenTasks(frozenset(ids[:_MOST_OPEN]) - {""})


_SYSTEM: Mapping[str, Callable[[Fields], Iterator[Signal]]] = {
    "init": _init,
    "api_retry": _retry,
    "task_started": _task_started,
    "task_notification": _task_ended,
    "task_updated": _task_updated,
    "background_tasks_changed": _tasks,
}


# ── messages of the model ───────────────────────────────────────────────────────────────────


def _assistant(event: Fields) -> Iterator[Signal]:
    message = event.inner("message")
    if not isinstance(event.raw("message"), dict):
        if not event.has("message"):
            event.refuse("message")
        return
    # Without an id the tokens still count; counting them twice is the smaller fault.
    message_id = message.id("id") or event.id("uuid")
    yield UsageReport(message_id, _tokens(message).usage, model=message.id("model"))
    is_aside = event.has("parent_tool_use_id")
    content = message.raw("content")
    if isinstance(content, str):
        yield AgentMessage(storable(content), is_aside=is_aside)
        return
    for block in message.objects("content"):
        kind = block.text("type")
        if kind == "text" and (text := block.text("text")):
            yield AgentMessage(text, is_aside=is_aside)
        elif kind == "tool_use":
            detail = as_json(block.raw("input"), most=_DETAIL_LIMIT)
            yield ToolUse(block.text("name"), detail, block.id("id"))


def _user(event: Fields) -> Iterator[Signal]:
    # Of the messages to the model only the results of tools are read.
    message = event.raw("message")
    content = message.get("content") if isinstance(message, dict) else None
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_result":
            tool = block.get("tool_use_id")
            if isinstance(tool, str):
                text = _tool_output(block.get("content"))
                yield ToolDone(storable(tool), text, is_failed=block.get("is_error") is True)


def _tool_output(content: object) -> str:
    """Return the text of a tool's result: a text, or a list of blocks of which some are text."""
    if isinstance(content, str):
        return storable(content)
    blocks = content if isinstance(content, list) else ()
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    return storable("\n".join(text for text in texts if isinstance(text, str)))


def _partial(event: Fields) -> Iterator[Signal]:
    inner = event.inner("event")
    message_id = event.id("api_message_id")
    if inner.text("type") == "message_delta" and message_id and inner.has("usage"):
        yield UsageReport(message_id, _tokens(inner).usage)


def _tokens(message: Fields) -> ApiTokens:
    tokens = ApiTokens.read(message.raw("usage"))
    message.refuse_all(tokens.refused)
    return tokens


# ── the result ──────────────────────────────────────────────────────────────────────────────


def _end(event: Fields) -> Iterator[Signal]:
    subtype, is_error = event.text("subtype"), event.flag("is_error")
    # Two fields say the same; one of them may be missing, but not both.
    ok = is_error is not True and (subtype == _SUCCESS or (not subtype and is_error is False))
    given = event.raw("structured_output")
    status = event.whole("api_error_status", most=_MOST_STATUS)
    yield Result(
        ok,
        _summary(event, subtype, ok=ok),
        event.number("total_cost_usd", most=MOST_COST_USD),
        is_limited=not ok and status in _LIMITED,
        answer=None if given is None else as_json(given),
        turns=event.whole("num_turns", most=_MOST_TURNS),
    )


def _summary(event: Fields, subtype: str, *, ok: bool) -> str:
    """Return the text of a result; the name of its subtype is no text."""
    text = event.text("result")
    if text.strip() and text.strip() != subtype:
        return text
    if ok:
        return ""
    said = " ".join(filter(None, map(_words, event.listed("errors"))))
    return said or f"Claude Code ended with {subtype[:100] or 'no word of how'}."


def _words(error: object) -> str:
    if isinstance(error, str):
        return storable(error)
    if isinstance(error, dict):
        for name in ("message", "error", "text"):
            if isinstance(error.get(name), str):
                return storable(error[name])
    return as_json(error, most=_DETAIL_LIMIT) if error else ""


def _limit(event: Fields) -> Iterator[Signal]:
    info = event.inner("rate_limit_info")
    if info.text("status") == "rejected":
        resets_at_s = info.number("resetsAt", most=_LATEST_S)
        if resets_at_s is not None:
            yield LimitReached(resets_at_s)


_READERS: Mapping[str, Reader] = {
    "system": _system,
    "assistant": _assistant,
    "user": _user,
    "stream_event": _partial,
    "result": _end,
    "rate_limit_event": _limit,
}
