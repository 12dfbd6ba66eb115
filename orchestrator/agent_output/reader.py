"""Turns an agent's raw output into signals, log lines and a count of tokens; bounded in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from orchestrator.agent_output.usage_meter import UsageMeter
from orchestrator.errors import OutputTooLong
from orchestrator.interfaces.agent import (
    AgentBackend,
    AgentMessage,
    LimitReached,
    Result,
    SessionStarted,
    Signal,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.models import LogLine, Usage

#: A longer line is cut in the log (the log is for people; the worktree holds the work).
LOG_TEXT_LIMIT = 16_384


class OutputReader:
    """What an agent has said so far."""

    def __init__(
        self,
        backend: AgentBackend,
        *,
        clock: Callable[[], datetime],
        secrets: Sequence[str],
        line_limit_bytes: int,
        mask: Callable[[str], str] = str,
    ) -> None:
        self.result: Result | None = None
        self.session_id: str | None = None
        #: When the model's provider takes requests again, in seconds since 1970.
        self.limit_resets_at_s: float | None = None
        #: What the agent itself tells of its tokens.
        self.meter = UsageMeter()
        self._spent = UsageMeter()
        self._backend = backend
        self._clock = clock
        self._secrets = secrets
        self._mask = mask
        self._line_limit_bytes = line_limit_bytes
        self._partial = {"stdout": bytearray(), "stderr": bytearray()}
        self._unread: list[LogLine] = []
        #: Bytes of output taken in so far.
        self.output_bytes = 0
        #: What the model said and the tools it called, so far: each of them costs tokens.
        self.words = 0

    def feed(self, chunk: Chunk) -> None:
        """Take in some output.

        Raises:
            OutputTooLong: a line is over the limit.
            AgentGarbled: a line is not the backend's protocol.
        """
        self.output_bytes += len(chunk.data)
        partial = self._partial[chunk.source]
        *lines, rest = chunk.data.split(b"\n")
        for line in lines:
            whole = bytes(partial) + line
            partial.clear()
            self._claim(chunk.source, whole)
        partial += rest
        if len(partial) > self._line_limit_bytes:
            size = self._line_limit_bytes
            partial.clear()
            msg = f"The agent printed a line of more than {size} bytes."
            raise OutputTooLong(msg)

    def finish(self) -> None:
        """Take in what stands behind the last newline; raises as `feed` does."""
        for source, partial in self._partial.items():
            whole = bytes(partial)
            partial.clear()
            if whole:
                self._claim(source, whole)

    def see(self, report: UsageReport) -> None:
        """Take in what another has seen of its tokens."""
        self._spent.add(report)

    @property
    def spent(self) -> Usage:
        """Its tokens: of each message what the agent tells or what was seen, whichever is more."""
        return self._spent.total.model_copy(update={"cost_usd": self.meter.cost_usd})

    @property
    def messages(self) -> int:
        """How many messages of its model it has told of."""
        return self.meter.messages

    @property
    def summary(self) -> str:
        """What the agent says it did, fit to be stored."""
        return self._fit(self.result.summary) if self.result else ""

    def record(self, text: str, *, source: str = "orchestrator") -> None:
        """Put a line of our own between the agent's."""
        self._unread.append(LogLine(at=self._clock(), source=source, text=self._fit(text)))

    def drain_lines(self) -> list[LogLine]:
        """Hand out the log lines gathered since the last call."""
        lines, self._unread = self._unread, []
        return lines

    def _fit(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[masked]")
        if len(text) > LOG_TEXT_LIMIT:
            text = f"{text[:LOG_TEXT_LIMIT]} […{len(text) - LOG_TEXT_LIMIT} more characters]"
        return self._mask(text)

    def _claim(self, source: str, line: bytes) -> None:
        line = line.rstrip(b"\r")
        if source == "stderr":
            self.record(line.decode(errors="replace"), source="stderr")
            return
        if line.strip():
            for signal in self._backend.signals(line):
                self._note_signal(signal)

    def _note_signal(self, signal: Signal) -> None:
        match signal:
            case AgentMessage(text, is_notice):
                self.words += not is_notice
                self.record(text, source="agent")
            case ToolUse(name, detail):
                self.words += 1
                self.record(f"{name} {detail}".rstrip(), source="tool")
            case UsageReport():
                self.meter.add(signal)
                self._spent.add(signal)
            case SessionStarted(session_id):
                self.session_id = session_id
            case LimitReached(resets_at_s):
                self.limit_resets_at_s = resets_at_s
            case Result(ok, summary, cost_usd):
                self.result = signal
                self.meter.cost_usd = cost_usd
                self.record(summary, source="result" if ok else "error")
