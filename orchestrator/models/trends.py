"""The records of the trends: the last hour by minutes, the last day by hour and repository."""

from __future__ import annotations

from orchestrator.models.record import Instant, Record


class TrendMinute(Record):
    """What happened in one minute."""

    at: Instant
    ended: int = 0
    #: Tokens and cost of the agents that ended in it, of their whole lives.
    tokens: int = 0
    cost_usd: float = 0.0
    #: The agents whose first attempt started, and how long they waited on average.
    started: int = 0
    wait_s: float = 0.0


class RepositoryTrend(Record):
    """What ended in each hour on one repository."""

    #: Empty for all other repositories together.
    repository: str
    ended: tuple[int, ...]
    tokens: tuple[int, ...]


class Trends(Record):
    """The last hour and the last day; the present minute and hour are the last ones."""

    minutes: tuple[TrendMinute, ...]
    hours: tuple[Instant, ...]
    #: The repositories by their number of ended agents, the largest first.
    repositories: tuple[RepositoryTrend, ...] = ()
