"""The events of Claude Code's JSON stream that mean something to us, and what they mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import AgentGarbled
from orchestrator.interfaces.agent import (
    AgentMessage,
    LimitReached,
    Result,
    SessionStarted,
    Signal,
    ToolUse,
    UsageReport,
)
from orchestrator.models import ApiTokens

#: The agent names its session; nothing else may reach our arguments and paths.
SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DETAIL_LIMIT = 500
#: Too many requests, overloaded.
_LIMITED = frozenset({429, 529})


def read_event(line: bytes) -> Sequence[Signal]:
    """Parse one line; events that we have no use for give nothing.

    Raises:
        AgentGarbled: the line is no event of Claude Code.
    """
    try:
        document = json.loads(line)
        kind = document.get("type") if isinstance(document, dict) else None
        if not isinstance(kind, str):
            raise _garbled(line)
        if kind not in _EVENTS:
            return ()
        # JavaScript may cut a character in two and print half; no text of ours may hold that.
        whole = json.dumps(document, ensure_ascii=False).encode(errors="replace")
        return tuple(_EVENTS[kind].model_validate_json(whole).signals())
    except (ValueError, RecursionError) as error:
        raise _garbled(line) from error


def _garbled(line: bytes) -> AgentGarbled:
    return AgentGarbled(f"A line of {len(line)} bytes is no event of Claude Code.")


class _Event(BaseModel):
    """Claude Code adds fields with most releases: those we do not read are ignored."""

    model_config = ConfigDict(frozen=True)

    def signals(self) -> Iterator[Signal]:
        """Give what the event means to us."""
        raise NotImplementedError


class _System(_Event):
    subtype: str = ""
    session_id: str = ""
    attempt: int = 0
    max_retries: int = 0
    error_status: int | None = None
    error: str | None = None

    def signals(self) -> Iterator[Signal]:
        if self.subtype == "init" and SESSION.fullmatch(self.session_id):
            yield SessionStarted(self.session_id)
        elif self.subtype == "api_retry":
            # With a key that is refused this goes on for minutes: nobody should wait in the dark.
            cause = f"{self.error_status or 'no answer'} ({self.error})"
            reported = f"API: {cause}, retry {self.attempt} of {self.max_retries}"
            yield AgentMessage(reported, is_notice=True)


class _Block(BaseModel):
    type: str
    text: str = ""
    name: str = ""
    input: Any = None


class _AssistantMessage(BaseModel):
    id: str
    content: tuple[_Block, ...]
    usage: ApiTokens = ApiTokens()


class _Assistant(_Event):
    message: _AssistantMessage

    def signals(self) -> Iterator[Signal]:
        yield UsageReport(self.message.id, self.message.usage.usage)
        for block in self.message.content:
            if block.type == "text":
                yield AgentMessage(block.text)
            elif block.type == "tool_use":
                detail = json.dumps(block.input, ensure_ascii=False)
                yield ToolUse(block.name, detail[:_DETAIL_LIMIT])


class _PartialEvent(BaseModel):
    type: str
    usage: ApiTokens | None = None


class _Partial(_Event):
    event: _PartialEvent
    api_message_id: str = ""

    def signals(self) -> Iterator[Signal]:
        if self.event.type == "message_delta" and self.event.usage and self.api_message_id:
            yield UsageReport(self.api_message_id, self.event.usage.usage)


class _End(_Event):
    subtype: str
    is_error: bool
    result: str = ""
    errors: tuple[str, ...] = ()
    total_cost_usd: float | None = None
    structured_output: Any = None
    api_error_status: int | None = None

    def signals(self) -> Iterator[Signal]:
        ok = self.subtype == "success" and not self.is_error
        summary = self.result or " ".join(self.errors) or self.subtype
        given = self.structured_output
        answer = None if given is None else json.dumps(given)
        is_limited = not ok and self.api_error_status in _LIMITED
        yield Result(ok, summary, self.total_cost_usd, is_limited=is_limited, answer=answer)


class _LimitInfo(BaseModel):
    status: str = ""
    resets_at: Annotated[float | None, Field(alias="resetsAt")] = None


class _Limit(_Event):
    rate_limit_info: _LimitInfo = _LimitInfo()

    def signals(self) -> Iterator[Signal]:
        info = self.rate_limit_info
        if info.status == "rejected" and info.resets_at is not None:
            yield LimitReached(info.resets_at)


_EVENTS: dict[str, type[_Event]] = {
    "system": _System,
    "assistant": _Assistant,
    "stream_event": _Partial,
    "result": _End,
    "rate_limit_event": _Limit,
}
