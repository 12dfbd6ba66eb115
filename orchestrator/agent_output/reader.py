"""Turns an agent's raw output into signals, log lines and a count of tokens; bounded in memory.

Nothing an agent prints is an error. What is no event of its backend's protocol is logged as what it
is, with the source `stdout`, and counted; numbers that cannot be are logged and not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from math import isfinite

from orchestrator.agent_output.lines import Line, LineSplitter
from orchestrator.agent_output.results import outranks
from orchestrator.agent_output.usage_meter import UsageMeter
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
from orchestrator.models.tokens import MOST_COST_USD, number_in, shown

#: A longer line is cut in the log (the log is for people; the worktree holds the work).
LOG_TEXT_LIMIT = 16_384
#: An event that a client printed on several lines is put together, if it is no longer than this.
JOINED_LINES, JOINED_BYTES, _JOINED_TRIES = 200, 256 * 1024, 16
#: Of what was no event, as much is shown where an agent fails for it.
_SHOWN_FOREIGN, _SHOWN_CHARACTERS = 3, 200
#: Refused fields that differ; further ones are only counted.
_MOST_REFUSED = 100
#: So many tokens are accounted for before more output is read, whatever stands in one chunk.
MUCH_SPENT = 200_000
#: Tools and tasks under way at once; more are not kept apart.
_MOST_OPEN = 1000


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
        #: The best of its results so far (`results.outranks`).
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
        self._splitters = {source: LineSplitter(line_limit_bytes) for source in _SOURCES}
        self._unread: list[LogLine] = []
        self._split_event = _SplitEvent()
        self._foreign: deque[str] = deque(maxlen=_SHOWN_FOREIGN)
        self._refused: set[str] = set()
        self._last_words = ""
        self._tools: set[str] = set()
        self._tasks: set[str] = set()
        self._tools_at_result = 0
        #: Bytes of output taken in so far.
        self.output_bytes = 0
        #: What the model said and the tools it called, so far: each of them costs tokens.
        self.words = 0
        #: The tools it called.
        self.tools_used = 0
        #: How many results took the place of the one before.
        self.results = 0
        #: Called when it has told of `MUCH_SPENT` tokens since the last call; may raise.
        self.on_much_spent: Callable[[], None] = lambda: None
        self._spent_at_call = 0
        #: Pieces of output that were no part of the protocol: lines, parts of lines, fields.
        self.unknown = 0

    def feed(self, chunk: Chunk) -> None:
        """Take in some output."""
        self.output_bytes += len(chunk.data)
        for line in self._splitters[chunk.source].feed(chunk.data):
            self._claim(chunk.source, line)

    def finish(self) -> None:
        """Take in what stands behind the last newline."""
        for source, splitter in self._splitters.items():
            for line in splitter.finish():
                self._claim(source, line)
        self._give_up_split_event()

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
    def has_open_work(self) -> bool:
        """Whether, by its own word, a tool or a task of it is under way."""
        return bool(self._tools or self._tasks)

    @property
    def summary(self) -> str:
        """What the agent says it did, fit to be stored; empty if it said nothing."""
        if self.result is None:
            return ""
        return self._fit(self.result.summary if self.result.summary.strip() else self._last_words)

    @property
    def last_foreign(self) -> str:
        """The last pieces that were no events, for a message; empty where there were none."""
        pieces = "; ".join(repr(text) for text in self._foreign)
        return self._fit(pieces)

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

    # ── lines ───────────────────────────────────────────────────────────────────────────────

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
        """Log that a line was too long; an event that stands at its end is read all the same."""
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
            # A backend of another package that does not expect this line: the line is lost, alone.
            return (Foreign(type(error).__name__, line.decode(errors="replace")),)

    # ── signals ─────────────────────────────────────────────────────────────────────────────

    def _record_all(self, signals: Sequence[Signal]) -> None:
        for signal in signals:
            self._record_signal(signal)

    def _record_signal(self, signal: Signal) -> None:  # noqa: C901 - one case for each signal
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
                self.record(f"{name} {detail}".rstrip(), source="tool")
            case UsageReport():
                self._record_usage(signal)
            case SessionStarted(session_id):
                self.session_id = session_id
            case LimitReached(resets_at_s):
                self.limit_resets_at_s = resets_at_s if isfinite(resets_at_s) else None
            case ToolDone(tool):
                self._tools.discard(tool)
            case TaskChanged(task, is_open):
                (_open if is_open else set.discard)(self._tasks, task)
            case OpenTasks(tasks):
                self._tasks = set(tasks)
            case Foreign(kind, text):
                self._record_foreign(text, kind=kind)
            case FieldRefused(detail):
                self._record_refused(detail)
            case Result():
                self._record_result(signal)

    def _record_usage(self, report: UsageReport) -> None:
        if cause := implausible(report.usage):
            self._record_refused(f"usage: {cause}")
            return
        self.meter.add(report)
        self._spent.add(report)
        spent = self.meter.total.total_tokens
        if spent - self._spent_at_call >= MUCH_SPENT:
            self._spent_at_call = spent
            self.on_much_spent()

    def _record_result(self, result: Result) -> None:
        # Of a turn that is over no tool is under way, whatever it failed to tell.
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
                # Of a session so far; a result that did nothing may say 0.
                self.meter.cost_usd = max(cost_usd, self.meter.cost_usd or 0.0)
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


class _SplitEvent:
    """The lines of an event that was not closed on its first; tried a bounded number of times."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._size = 0
        self._tries = 0

    def begin(self, line: bytes) -> None:
        self.lines.append(line)
        self._size, self._tries = len(line), _JOINED_TRIES

    def add(self, line: bytes) -> bool:
        """Take another line, if there is room; False: this is no event any more."""
        self._size += len(line)
        if self._size > JOINED_BYTES or len(self.lines) >= JOINED_LINES or not self._tries:
            return False
        self.lines.append(line)
        return True

    def may_end_with(self, line: bytes) -> bool:
        """Return whether it is worth a try to read it up to this line."""
        if not line.rstrip().endswith(b"}"):
            return False
        self._tries -= 1
        return True
