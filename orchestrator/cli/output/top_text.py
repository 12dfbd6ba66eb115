"""The lines of `orch top`: the budget, the queues, and the agents that fit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import click
from rich.cells import cell_len, set_cell_size

from orchestrator.cli.output.render import STYLES, elapsed, shown_state
from orchestrator.cli.output.text import one_line
from orchestrator.models import AgentState, BudgetSummary, QueueState, Status
from orchestrator.models.attention import Attention, examines_all
from orchestrator.models.identifiers import repository_name
from orchestrator.models.state_machine import ACTIVE

_GAP = "  "
_POINT = " · "
#: Heading, width, and whether numbers align to the right. The last column takes the rest.
_COLUMNS = (
    ("", 1, False),
    ("AGENT", 8, False),
    ("STATE", 15, False),
    ("TIME", 8, True),
    ("TOKENS", 10, True),
)
#: Shown too on a terminal of at least so many cells; a narrower one shows a reason or the task.
_WIDE = 120
_MORE_COLUMNS = (("TASK", 24, False), ("REPOSITORY", 18, False), ("ROUND", 5, True))
_MARK = "!"
NO_AGENT = "no agent is active, and none needs attention"
#: The characters of an id that are shown; commands take them, if they are unique.
SHORT_ID = 8


@dataclass(frozen=True)
class Screen:
    """The facts of one screen."""

    now: datetime
    budget: BudgetSummary
    queues: tuple[QueueState, ...]
    #: Those that need attention first.
    agents: tuple[AgentState, ...]
    attention: Mapping[str, Attention]
    #: The number of agents of each status, listed or not.
    counts: Mapping[Status, int] = field(default_factory=dict)

    @property
    def unlisted(self) -> int:
        """The number of active agents that were not read."""
        known = sum(agent.status in ACTIVE for agent in self.agents)
        # The counts are read first: an agent that was spawned since is listed and not counted.
        return max(0, sum(self.counts.get(status, 0) for status in ACTIVE) - known)


def top_lines(screen: Screen, width: int, height: int, *, away: str = "") -> list[str]:
    """Return at most `height` lines; no line is wider than `width` cells.

    `away` is the reason why the facts are old.
    """
    lines = head_lines(screen, width, away=away)
    # Beside the head: an empty line, the headings, and the line of what is left out.
    room = max(1, height - len(lines) - 3)
    shown = screen.agents[:room]
    if shown:
        lines += ["", click.style(heading_line(width), bold=True)]
        lines += [
            click.style(agent_line(agent, screen, width), fg=STYLES[agent.status])
            for agent in shown
        ]
    if left := len(screen.agents) - len(shown) + screen.unlisted:
        lines.append(fitted(f"and {left} more: orch ls", width))
    elif not shown:
        lines += ["", fitted(NO_AGENT, width)]
    return lines[:height]


def head_lines(screen: Screen, width: int, *, away: str = "") -> list[str]:
    """Return the lines about the budget and the queues, and why the facts are old if they are."""
    head = [*_head(screen, width), *([f"OLD: {away}"] if away else ())]
    return [fitted(line, width) for line in head]


def heading_line(width: int) -> str:
    """Return the line of the headings of the columns."""
    headings = [name for name, _, _ in _columns(width)]
    last = "WHY" if width >= _WIDE else "WHY, OR TASK"
    return _line([*headings, last], width).rstrip()


def agent_line(agent: AgentState, screen: Screen, width: int) -> str:
    """Return the line of an agent, without a style."""
    return _line(_row(agent, screen, width), width).rstrip()


def fitted(text: str, width: int) -> str:
    """Return untrusted text as one line that is no wider than the terminal."""
    return _cut(one_line(text), width)


def _columns(width: int) -> tuple[tuple[str, int, bool], ...]:
    return (*_COLUMNS, *_MORE_COLUMNS) if width >= _WIDE else _COLUMNS


def _line(cells: Sequence[str], width: int) -> str:
    """Return a line of cells, each cut or padded to its column; the last one takes the rest."""
    parts = []
    for (_, room, is_number), cell in zip(_columns(width), cells, strict=False):
        text = _cut(cell, room)
        spaces = " " * (room - cell_len(text))
        parts.append(spaces + text if is_number else text + spaces)
    return _cut(_GAP.join([*parts, cells[-1]]), width)


def _cut(line: str, width: int) -> str:
    return set_cell_size(line, min(width, cell_len(line)))


def _head(screen: Screen, width: int) -> Iterator[str]:
    budget = screen.budget
    least = "" if examines_all(screen.counts) else "at least "
    most_usd = budget.limits.daily_usd
    of_usd = "" if most_usd is None else f" of {most_usd:.2f} ({budget.percent_usd:.0f} %)"
    limit = f" of {budget.limit} ({budget.percent:.0f} %)" if budget.limit else ""
    yield _POINT.join((
        f"{screen.now.astimezone():%H:%M:%S}",
        f"need attention {least}{len(screen.attention)}",
        f"slots {budget.running} of {budget.limits.concurrency}",
        f"{budget.waiting} waiting",
    ))  # fmt: skip
    yield _POINT.join((
        f"tokens today {budget.used}{limit}",
        f"reserved {budget.reserved}",
        f"{budget.cost_usd:.2f}{of_usd} USD",
    ))  # fmt: skip
    queues = [*map(_queue, screen.queues)]
    yield from [_POINT.join(queues)] if width >= _WIDE else queues


def _queue(queue: QueueState) -> str:
    paused = ", paused" if queue.is_paused else ""
    age = "" if queue.oldest_age_s is None else f", oldest {queue.oldest_age_s:.0f}s"
    return f"{queue.name} {queue.active} active, {queue.pending} pending{age}{paused}"


def _row(agent: AgentState, screen: Screen, width: int) -> Sequence[str]:
    need = screen.attention.get(agent.agent_id)
    repository = repository_name(agent.repository)
    why = need.why if need else agent.waiting_for or ""
    wide = (agent.task_id, repository, str(agent.rounds), why)
    rest = wide if width >= _WIDE else (why or agent.task_id,)
    cells = (
        _MARK if need else "",
        agent.agent_id[:SHORT_ID],
        shown_state(agent),
        elapsed(agent, screen.now),
        str(agent.usage.total_tokens),
        *rest,
    )
    return [one_line(cell) for cell in cells]
