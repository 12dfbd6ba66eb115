"""The record of a recap: what a fleet delivered, rejected and spent since an instant."""

from __future__ import annotations

from orchestrator.models.record import Instant, Record


class RepositoryRecap(Record):
    """The agents of one repository."""

    repository: str
    agents: int
    delivered: int
    tokens: int
    cost_usd: float | None = None
    #: Tokens of all its agents for each delivered change; None without one.
    tokens_per_delivery: int | None = None


class Delivery(Record):
    """A pushed change."""

    agent_id: str
    task_id: str
    repository: str
    branch: str
    commit: str
    tokens: int
    rounds: int


class Wait(Record):
    """How long an agent waited for its first start."""

    agent_id: str
    task_id: str
    waited_s: int
    #: Whether it has not started yet, or ended without a start.
    is_unstarted: bool = False
    waiting_for: str | None = None


class KillRecap(Record):
    """A kill and its proof."""

    agent_id: str
    task_id: str
    by: str
    why: str
    confirmed: bool
    #: What was seen if it is confirmed; otherwise why nothing is proven.
    proof: str


class Recap(Record):
    """The agents that ended since an instant, and those that have not ended."""

    since: Instant
    until: Instant
    ended: int
    active: int
    delivered: tuple[Delivery, ...]
    #: Agents that completed without a change.
    unchanged: int
    #: The gates did not approve their last change.
    rejected: int
    #: Error code → failed agents, the most frequent first; those that the gates rejected too.
    failures: dict[str, int]
    repositories: tuple[RepositoryRecap, ...]
    tokens: int
    cost_usd: float | None = None
    slowest_waits: tuple[Wait, ...]
    kills: tuple[KillRecap, ...]
    #: The number of agents that need attention now.
    need_attention: int
    #: Whether more may: only the newest agents of a status are examined.
    need_attention_is_least: bool = False
