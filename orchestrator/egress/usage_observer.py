"""The second witness of what an agent spends: tokens counted in the answers that pass by."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.agent_output.usage_meter import UsageMeter
from orchestrator.interfaces.agent import UsageReport
from orchestrator.log import get_logger
from orchestrator.models import ApiTokens, Usage

#: Events with usage are small, and an answer that is not streamed fits in memory.
LINE_LIMIT_BYTES = 2**20
ANSWER_LIMIT_BYTES = 32 * 2**20

log = get_logger("egress")


class UsageObserver:
    """What all answers of one attempt hold; heard in the proxy's thread, read in any."""

    def __init__(self, on_usage: Callable[[str, Usage], None]) -> None:
        self._meter = UsageMeter()
        self._largest: dict[str, int] = {}
        self._lock = threading.Lock()
        self._on_usage = on_usage

    @property
    def total(self) -> Usage:
        """The sum over all messages."""
        with self._lock:
            return self._meter.total

    def differs(self, reported: Usage) -> bool:
        """Whether what the agent tells is off by more than one message, which may be under way."""
        with self._lock:
            off = abs(self._meter.total.total_tokens - reported.total_tokens)
            return off > max(self._largest.values(), default=0)

    def observe(self, message_id: str, tokens: ApiTokens) -> None:
        """Take in a report; reports with the same id repeat and grow, they do not add."""
        usage = tokens.usage
        with self._lock:
            before = self._meter.total.total_tokens
            self._meter.add(UsageReport(message_id, usage))
            grown = self._meter.total.total_tokens - before
            self._largest[message_id] = self._largest.get(message_id, 0) + grown
        self._on_usage(message_id, usage)


class _Message(BaseModel):
    """An answer, or the one that an event opens."""

    model_config = ConfigDict(frozen=True)

    id: str
    usage: ApiTokens


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: str
    message: _Message | None = None
    usage: ApiTokens | None = None


class StreamReader:
    """Reads one answer that comes as server-sent events."""

    def __init__(self, observer: UsageObserver) -> None:
        self._observer = observer
        self._partial = bytearray()
        self._message_id = ""

    def feed(self, data: bytes) -> None:
        """Take in some bytes of it."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._claim(bytes(self._partial) + line)
            self._partial.clear()
        if len(self._partial) < LINE_LIMIT_BYTES:
            self._partial += rest

    def finish(self) -> None:
        """Take in what stands behind the last newline."""
        self._claim(bytes(self._partial))

    def _claim(self, line: bytes) -> None:
        if not line.startswith(b"data:") or b'"usage"' not in line:
            return
        try:
            event = _Event.model_validate_json(line[len(b"data:") :])
        except ValidationError:
            log.warning("event not understood", size=len(line))
            return
        if event.message is not None:
            self._message_id = event.message.id
        tokens = event.message.usage if event.message else event.usage
        if tokens is not None and self._message_id:
            self._observer.observe(self._message_id, tokens)


class DocumentReader:
    """Reads one answer that comes whole."""

    def __init__(self, observer: UsageObserver) -> None:
        self._observer = observer
        self._content = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in some bytes of it."""
        if len(self._content) < ANSWER_LIMIT_BYTES:
            self._content += data

    def finish(self) -> None:
        """Read it; what is no message (a count of tokens, an error) has no usage."""
        try:
            document = json.loads(self._content)
            if isinstance(document, dict) and document.get("type") == "message":
                message = _Message.model_validate(document)
                self._observer.observe(message.id, message.usage)
        except (ValueError, RecursionError):
            log.warning("answer not understood", size=len(self._content))
