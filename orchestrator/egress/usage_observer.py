"""The usage observer: it counts the tokens in the responses of the model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from orchestrator.agent_output.usage_meter import UsageMeter
from orchestrator.interfaces.agent import UsageReport
from orchestrator.interfaces.provider import UsageReader
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

    def __init__(self, on_usage: Callable[[UsageReport], None]) -> None:
        self._meter = UsageMeter()
        self._lock = threading.Lock()
        self._on_usage = on_usage
        self._unnamed = 0

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

    def observe(self, message_id: str, tokens: ApiTokens, model: str = "") -> None:
        """Add a report; reports with the same id replace each other and do not add up."""
        usage = tokens.usage
        cause = implausible(usage)
        if tokens.refused or cause:
            log.warning("tokens not believed", fields=", ".join(tokens.refused) or cause)
        if cause:
            return
        report = UsageReport(message_id, usage, model=model)
        with self._lock:
            self._meter.add(report)
        self._on_usage(report)

    def unnamed(self) -> str:
        """Return a new message id, for a response that has none."""
        with self._lock:
            self._unnamed += 1
            return f"response {self._unnamed}"


class ResponseReader:
    """Reads the usage in one response; the provider's reader finds it in the parsed parts."""

    def __init__(self, observer: UsageObserver, usage: UsageReader, model: str = "") -> None:
        #: Whether any usage was found.
        self.is_counted = False
        #: The tokens of its prompt, cached ones included, as the provider counted them.
        self.prompt_tokens = 0
        self._observer = observer
        self._usage = usage
        self._model = model
        self._unnamed = ""

    def feed(self, data: bytes) -> None:
        """Read some bytes of it."""
        raise NotImplementedError

    def finish(self) -> None:
        """Read what is left at its end."""
        raise NotImplementedError

    def _observe(self, part: dict[str, Any]) -> None:
        for message_id, tokens in self._usage.read(part):
            if not message_id and not self._unnamed:
                self._unnamed = self._observer.unnamed()
            self.is_counted = True
            counted = tokens.usage
            prompt = (counted.input_tokens, counted.cache_read_tokens, counted.cache_write_tokens)
            self.prompt_tokens = max(self.prompt_tokens, sum(prompt))
            # The reader of the agent's own report does the same: both reports of a message have
            # one id.
            self._observer.observe(storable(message_id) or self._unnamed, tokens, self._model)


class StreamReader(ResponseReader):
    """Reads one response that arrives as server-sent events."""

    def __init__(self, observer: UsageObserver, usage: UsageReader, model: str = "") -> None:
        super().__init__(observer, usage, model)
        self._partial = bytearray()

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
        if not line.startswith(b"data:") or self._usage.marker not in line:
            return
        event = _parsed(line[len(b"data:") :])
        if isinstance(event, dict):
            self._observe(event)
        elif event is None:
            log.warning("event not understood", size=len(line))


class DocumentReader(ResponseReader):
    """Reads one response that arrives as a whole document, or as a list of the parts of one."""

    def __init__(self, observer: UsageObserver, usage: UsageReader, model: str = "") -> None:
        super().__init__(observer, usage, model)
        self._content = bytearray()

    def feed(self, data: bytes) -> None:
        """Read some bytes of it."""
        if len(self._content) < ANSWER_LIMIT_BYTES:
            self._content += data

    def finish(self) -> None:
        """Parse it; a response that is no message (a count of tokens, an error) has no usage."""
        document = _parsed(self._content)
        if document is None:
            log.warning("answer not understood", size=len(self._content))
        for part in document if isinstance(document, list) else [document]:
            if isinstance(part, dict):
                self._observe(part)


def _parsed(text: bytes | bytearray) -> object:
    """Parse JSON; None if it is invalid."""
    try:
        return json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return None


def _whole(digits: str) -> int | float:
    # A longer number is no count; Python refuses to read thousands of digits.
    return int(digits) if len(digits) <= _DIGITS else float(digits)
