"""The usage observer: it counts the tokens in the responses of the model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from orchestrator.agent_output.usage_meter import UsageMeter
from orchestrator.interfaces.agent import UsageReport
from orchestrator.log import get_logger
from orchestrator.models import ApiTokens, Usage, implausible
from orchestrator.models.text import storable

#: Events with usage are small, and an answer that is not streamed fits in memory.
LINE_LIMIT_BYTES = 2**20
ANSWER_LIMIT_BYTES = 32 * 2**20
_DIGITS = 19
#: The least number of tokens that a message under way may add.
_UNDER_WAY = 200_000

log = get_logger("egress")


class UsageObserver:
    """The usage in all responses of one attempt; written in the proxy's thread, read in any."""

    def __init__(self, on_usage: Callable[[str, Usage], None]) -> None:
        self._meter = UsageMeter()
        self._lock = threading.Lock()
        self._on_usage = on_usage

    @property
    def total(self) -> Usage:
        """The sum over all messages."""
        with self._lock:
            return self._meter.total

    def most_spent(self) -> int | None:
        """Return the most tokens that a report can claim; None as long as no response was read.

        A message under way can be reported before its last usage is read here.
        """
        with self._lock:
            if not self._meter.messages:
                return None
            return self._meter.total.total_tokens + max(self._meter.largest, _UNDER_WAY)

    def differs(self, reported: Usage) -> bool:
        """Return whether the agent's report differs by more than one unfinished message."""
        with self._lock:
            off = abs(self._meter.total.total_tokens - reported.total_tokens)
            return off > self._meter.largest

    def observe(self, message_id: str, tokens: ApiTokens) -> None:
        """Add a report; reports with the same id replace each other and do not add up."""
        usage = tokens.usage
        cause = implausible(usage)
        if tokens.refused or cause:
            log.warning("tokens not believed", fields=", ".join(tokens.refused) or cause)
        if cause:
            return
        with self._lock:
            self._meter.add(UsageReport(message_id, usage))
        self._on_usage(message_id, usage)

    def observe_message(self, message: object) -> str:
        """Add a response, or the message of an event; returns its id, empty if it has none."""
        if not isinstance(message, dict):
            return ""
        message_id = message.get("id")
        if not isinstance(message_id, str) or not message_id:
            return ""
        # The reader of the agent's own report does the same: both reports of a message have one id.
        message_id = storable(message_id)
        if message.get("usage") is not None:
            self.observe(message_id, ApiTokens.read(message["usage"]))
        return message_id


class StreamReader:
    """Reads one response that arrives as server-sent events."""

    def __init__(self, observer: UsageObserver) -> None:
        self._observer = observer
        self._partial = bytearray()
        self._message_id = ""

    def feed(self, data: bytes) -> None:
        """Read some bytes of it."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._claim(bytes(self._partial) + line)
            self._partial.clear()
        if len(self._partial) < LINE_LIMIT_BYTES:
            self._partial += rest

    def finish(self) -> None:
        """Read the text after the last newline."""
        self._claim(bytes(self._partial))

    def _claim(self, line: bytes) -> None:
        if not line.startswith(b"data:") or b'"usage"' not in line:
            return
        event = _object(line[len(b"data:") :])
        if event is None:
            log.warning("event not understood", size=len(line))
            return
        if event.get("message") is not None:
            # Any other event ends the message before, so that later usage is not added to it.
            self._message_id = self._observer.observe_message(event["message"])
        elif event.get("usage") is not None and self._message_id:
            self._observer.observe(self._message_id, ApiTokens.read(event["usage"]))


class DocumentReader:
    """Reads one response that arrives as a whole document."""

    def __init__(self, observer: UsageObserver) -> None:
        self._observer = observer
        self._content = bytearray()

    def feed(self, data: bytes) -> None:
        """Read some bytes of it."""
        if len(self._content) < ANSWER_LIMIT_BYTES:
            self._content += data

    def finish(self) -> None:
        """Parse it; a response that is no message (a count of tokens, an error) has no usage."""
        document = _object(self._content)
        if document is None:
            log.warning("answer not understood", size=len(self._content))
        elif document.get("type") == "message":
            self._observer.observe_message(document)


def _object(text: bytes | bytearray) -> dict[str, Any] | None:
    """Parse a JSON object; empty for another value, None for invalid JSON."""
    try:
        document = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else {}


def _whole(digits: str) -> int | float:
    # A longer number is no count; Python refuses to read thousands of digits.
    return int(digits) if len(digits) <= _DIGITS else float(digits)
