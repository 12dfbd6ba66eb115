"""The reader of an agent's raw output: signals, log lines and tokens, in bounded memory.

No output of an agent is an error. Output that is no event of the backend's protocol is counted, and
logged with the source `stdout`. Impossible numbers are logged and not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from math import isfinite

from orchestrator.agent_output.dropped_lines import DroppedLines
from orchestrator.agent_output.lines import Line, LineSplitter
from orchestrator.agent_output.log_text import masked, shortened
from orchestrator.agent_output.results import outranks
from orchestrator.agent_output.split_event import JOINED_BYTES, SplitEvent
from orchestrator.agent_output.usage_meter import UsageMeter, no_price
from orchestrator.errors import AgentFailed
from orchestrator.interfaces.agent import (
    AgentBackend,
    AgentMessage,
    Result,
    SessionStarted,
    Signal,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.interfaces.signals import (
    FieldRefused,
    Foreign,
    LimitReached,
    OpenTasks,
    TaskChanged,
    ToolDone,
)
from orchestrator.models import LogLine, Usage, implausible
from orchestrator.models.tokens import (
    MOST_COST_USD,
    MOST_TOKENS_OF_A_MESSAGE,
    MOST_TOKENS_OF_A_SESSION,
    number_in,
    shown,
)
from orchestrator.settings.prices import Price

#: The limit of characters of one log line; the log is for people, and longer lines are cut.
LOG_TEXT_LIMIT = 16_384
#: An error message shows so many pieces of unknown output, with so many characters each.
_SHOWN_FOREIGN, _SHOWN_CHARACTERS = 3, 200
#: The log shows so many different refused fields; further ones are only counted.
_MOST_REFUSED = 100
#: After so many tokens `on_much_spent` is called, even within one chunk of output.
MUCH_SPENT = 200_000
#: The limit of tools and of background tasks that are tracked at the same time.
_MOST_OPEN = 1000


class OutputReader:
    """The output of one agent's program so far, with its result, session and tokens."""

    def __init__(
        self,
        backend: AgentBackend,
        *,
        clock: Callable[[], datetime],
        secrets: Sequence[str],
        line_limit_bytes: int,
        mask: Callable[[str], str] = str,
        most_tokens: int = MOST_TOKENS_OF_A_MESSAGE,
        price_of: Callable[[str], Price | None] = no_price,
    ) -> None:
        #: The result that counts so far (`results.outranks`).
        self.result: Result | None = None
        self.session_id: str | None = None
        #: The end of the provider's limit, in seconds since 1970.
        self.limit_resets_at_s: float | None = None
        #: The tokens that the agent itself reports.
        self.meter = UsageMeter()
        #: Its reports whose ids the egress proxy does not know.
        self._apart = UsageMeter(price_of)
        self._spent = UsageMeter(price_of)
        self._backend = backend
        self._clock = clock
        self._secrets = secrets
        self._mask = mask
        self._most_tokens = most_tokens
        self._line_limit_bytes = line_limit_bytes
        self._splitters = {source: LineSplitter(line_limit_bytes) for source in _SOURCES}
        self._unread: list[LogLine] = []
        self.dropped_lines = DroppedLines()
        self._split_event = SplitEvent()
        self._foreign: deque[str] = deque(maxlen=_SHOWN_FOREIGN)
        self._refused: set[str] = set()
        self._last_words = ""
        self._tools: set[str] = set()
        self._tasks: set[str] = set()
        self._tools_at_result = 0
        #: The bytes of output so far.
        self.output_bytes = 0
        #: The number of messages and tool calls of the model, each of which costs tokens.
        self.words = 0
        #: The number of tool calls.
        self.tools_used = 0
        #: The number of results that replaced the one before, the first included.
        self.results = 0
        #: Called after each `MUCH_SPENT` reported tokens; it may raise.
        self.on_much_spent: Callable[[], None] = lambda: None
        #: Returns the most tokens that the agent can have spent so far; None if nobody knows.
        self.most_spent: Callable[[], int | None] = lambda: None
        #: Why the last number that it reported was not counted; empty if all were.
        self.refused_usage = ""
        self._spent_at_call = 0
        #: The number of lines, parts of lines and fields that are not part of the protocol.
        self.unknown = 0

    def feed(self, chunk: Chunk) -> None:
        """Read a chunk of output."""
        self.output_bytes += len(chunk.data)
        for line in self._splitters[chunk.source].feed(chunk.data):
            self._claim(chunk.source, line)

    def finish(self) -> None:
        """Read the output after the last newline, at the end of the program."""
        for source, splitter in self._splitters.items():
            for line in splitter.finish():
                self._claim(source, line)
        self._give_up_split_event()

    def see(self, report: UsageReport) -> None:
        """Add a usage report of the egress proxy."""
        self._spent.add(report)

    @property
    def spent(self) -> Usage:
        """The tokens of the agent: for each message the larger of both reports.

        The agent reports its tokens, and the egress proxy reads them from the responses. If the
        agent's reports have other ids than the responses, the larger sum counts, and the larger
        cost.
        """
        sums = (self._spent.total, self._apart.total)
        largest = max(sums, key=lambda usage: usage.total_tokens)
        costs = [usage.cost_usd for usage in sums if usage.cost_usd is not None]
        client = self.meter.client_cost_usd
        facts = {"cost_usd": max(costs, default=None), "client_cost_usd": client}
        return largest.model_copy(update=facts)

    @property
    def unpriced(self) -> frozenset[str]:
        """The models of its tokens that have no price."""
        return self._spent.unpriced | self._apart.unpriced

    @property
    def messages(self) -> int:
        """The number of messages of the model that the agent has reported."""
        return self.meter.messages

    @property
    def has_open_work(self) -> bool:
        """Whether the agent has reported a tool or background task that has not ended."""
        return bool(self._tools or self._tasks)

    @property
    def summary(self) -> str:
        """The agent's summary of its work, with secrets masked; empty without a result."""
        if self.result is None:
            return ""
        return self._fit(self.result.summary if self.result.summary.strip() else self._last_words)

    @property
    def last_foreign(self) -> str:
        """The last pieces of unknown output, for an error message; empty if there are none."""
        pieces = "; ".join(repr(text) for text in self._foreign)
        return self._fit(pieces)

    def record(self, text: str, *, source: str = "orchestrator", tool: str = "") -> None:
        """Add a line to the agent's log; `tool` is the id of a tool call that it belongs to."""
        text = self._fit(text)
        self._unread.append(LogLine(at=self._clock(), source=source, text=text, tool=tool or None))

    def drain_lines(self) -> list[LogLine]:
        """Return and clear the log lines since the last call."""
        lines, self._unread = self._unread, []
        return self.dropped_lines.report(lines)

    def _fit(self, text: str) -> str:
        text = masked(text, self._secrets)
        if len(text) > LOG_TEXT_LIMIT:
            text = f"{text[:LOG_TEXT_LIMIT]} […{len(text) - LOG_TEXT_LIMIT} more characters]"
        return self._mask(text)

    def _claim(self, source: str, line: Line) -> None:
        if line.is_cut:
            self._read_cut(source, line)
            return
        content = line.content.rstrip(b"\r")
        if source == "stderr":
            self.record(content.decode(errors="replace"), source="stderr")
        elif content.strip():
            self._read_events(content)

    def _read_cut(self, source: str, line: Line) -> None:
        """Log that a line was too long; read the results and usage reports at its end."""
        begin = line.content.decode(errors="replace")
        text = f"[line of {line.size} bytes, the limit is {self._line_limit_bytes}] {begin}…"
        if source == "stderr":
            self.record(text, source="stderr")
            return
        self._record_foreign(text)
        for signal in self._signals(line.tail):
            if isinstance(signal, Result | UsageReport):
                self._record_signal(signal)

    def _read_events(self, line: bytes) -> None:
        signals = self._signals(line)
        is_foreign = bool(signals) and all(isinstance(signal, Foreign) for signal in signals)
        if self._split_event.lines:
            if is_foreign and self._split_event.add(line):
                self._read_split_event(line)
                return
            self._give_up_split_event()
        first = signals[0] if is_foreign else None
        if isinstance(first, Foreign) and first.is_open and len(line) <= JOINED_BYTES:
            self._split_event.begin(line)
            return
        self._record_all(signals)

    def _read_split_event(self, last: bytes) -> None:
        if not self._split_event.may_end_with(last):
            return
        signals = self._signals(b"".join(self._split_event.lines))
        if any(isinstance(signal, Foreign) for signal in signals):
            return
        self._split_event.lines.clear()
        self._record_all(signals)

    def _give_up_split_event(self) -> None:
        lines = list(self._split_event.lines)
        self._split_event.lines.clear()
        for line in lines:
            self._record_all(self._signals(line))

    def _signals(self, line: bytes) -> Sequence[Signal]:
        try:
            return self._backend.signals(line)
        except (AgentFailed, ValueError, TypeError, LookupError, RecursionError) as error:
            # A plug-in backend may fail to parse a line; then only this line is lost.
            return (Foreign(type(error).__name__, line.decode(errors="replace")),)

    # ── signals ─────────────────────────────────────────────────────────────────────────────

    def _record_all(self, signals: Sequence[Signal]) -> None:
        for signal in signals:
            self._record_signal(signal)

    def _record_signal(self, signal: Signal) -> None:  # noqa: C901, PLR0912 - a case each
        match signal:
            case AgentMessage(text, is_notice):
                self.words += not is_notice
                if text.strip() and not is_notice and not signal.is_aside:
                    self._last_words = text
                self.record(text, source="agent")
            case ToolUse(name, detail):
                self.words += 1
                self.tools_used += 1
                _open(self._tools, signal.id)
                self.record(f"{name} {detail}".rstrip(), source="tool", tool=signal.id)
            case UsageReport():
                self._record_usage(signal)
            case SessionStarted(session_id):
                self.session_id = session_id
            case LimitReached(resets_at_s):
                self.limit_resets_at_s = resets_at_s if isfinite(resets_at_s) else None
            case ToolDone(tool, output, is_failed):
                self._tools.discard(tool)
                if output.strip() or is_failed:
                    text = shortened(masked(output, self._secrets))
                    self.record(text, source="failed" if is_failed else "output", tool=tool)
            case TaskChanged(task, is_open):
                (_open if is_open else set.discard)(self._tasks, task)
            case OpenTasks(tasks):
                self._tasks = set(tasks)
            case Foreign(kind, text):
                self._record_foreign(text, kind=kind)
            case FieldRefused(detail):
                self.refused_usage = detail
                self._record_refused(detail)
            case Result():
                self._record_result(signal)

    def _record_usage(self, report: UsageReport) -> None:
        most = MOST_TOKENS_OF_A_SESSION if report.is_sum else self._most_tokens
        if cause := implausible(report.usage, most) or self._unseen(report):
            self.refused_usage = f"usage: {cause}"
            self._record_refused(self.refused_usage)
            return
        self.meter.add(report)
        (self._apart if report.has_own_id else self._spent).add(report)
        spent = self.meter.total.total_tokens
        if spent - self._spent_at_call >= MUCH_SPENT:
            self._spent_at_call = spent
            self.on_much_spent()

    def _unseen(self, report: UsageReport) -> str:
        """Return why the egress proxy, which has read all responses, contradicts this report."""
        most, told = self.most_spent(), self.meter.total.total_tokens + self.meter.growth(report)
        if most is None or told <= most:
            return ""
        return f"{shown(told)} tokens in all are more than the model's responses had ({most:,})"

    def _record_result(self, result: Result) -> None:
        # A result ends the turn, so no tool is running, even if its end was not reported.
        self._tools.clear()
        has_worked = self.tools_used > self._tools_at_result
        if outranks(result, self.result, has_worked=has_worked):
            self.result = result
            self.results += 1
            self._tools_at_result = self.tools_used
        if result.cost_usd is not None:
            cost_usd = number_in(result.cost_usd, most=MOST_COST_USD)
            if cost_usd is None:
                self._record_refused(f"cost: {shown(result.cost_usd)}")
            else:
                # The cost is that of the session so far; a result without work may report 0.
                earlier = self.meter.client_cost_usd or 0.0
                self.meter.client_cost_usd = max(cost_usd, earlier)
        self.record(result.summary or "(without words)", source="result" if result.ok else "error")

    def _record_foreign(self, text: str, *, kind: str = "") -> None:
        self.unknown += 1
        self._foreign.append(text[:_SHOWN_CHARACTERS])
        self.record(f"{kind}: {text}" if kind else text, source="stdout")

    def _record_refused(self, detail: str) -> None:
        self.unknown += 1
        if detail not in self._refused and len(self._refused) < _MOST_REFUSED:
            self._refused.add(detail)
            self.record(f"not believed, and not counted: {detail}")


_SOURCES = ("stdout", "stderr")


def _open(under_way: set[str], name: str) -> None:
    if name and len(under_way) < _MOST_OPEN:
        under_way.add(name)
