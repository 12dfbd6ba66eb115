"""The recap of a fleet: what its agents delivered and spent since an instant. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from orchestrator.models import AgentState, Receipt, Status
from orchestrator.models.recap import Delivery, KillRecap, Recap, RepositoryRecap, Wait
from orchestrator.models.state_machine import FINAL

#: The number of waits that a recap lists.
_SLOWEST = 5


def belongs(agent: AgentState, since: datetime) -> bool:
    """Return whether a recap counts an agent: it has not ended, or ended since then."""
    return agent.status not in FINAL or (agent.completed_at or agent.spawned_at) >= since


def recap(
    agents: Sequence[AgentState],
    receipts: Mapping[str, Receipt],
    *,
    since: datetime,
    until: datetime,
    need_attention: int,
    need_attention_is_least: bool = False,
) -> Recap:
    """Return the recap of agents that belong to it; `receipts` are those of the killed ones.

    Tokens and costs are those of an agent's whole life: an agent that was spawned before the
    instant counts whole.
    """
    ended = [agent for agent in agents if agent.status in FINAL]
    completed = [agent for agent in ended if agent.status is Status.COMPLETED]
    failed = [agent for agent in ended if agent.status is Status.FAILED]
    failures = Counter(agent.error_code or "unknown" for agent in failed)
    delivered = tuple(_deliveries(completed))
    return Recap(
        since=since,
        until=until,
        ended=len(ended),
        active=len(agents) - len(ended),
        delivered=delivered,
        unchanged=len(completed) - len(delivered),
        rejected=sum(_is_rejected(agent) for agent in failed),
        failures=dict(failures.most_common()),
        repositories=tuple(_repositories(agents, delivered)),
        tokens=sum(agent.usage.total_tokens for agent in agents),
        cost_usd=_cost(agents),
        slowest_waits=_slowest(agents, until),
        kills=tuple(_kills(ended, receipts)),
        need_attention=need_attention,
        need_attention_is_least=need_attention_is_least,
    )


def _is_rejected(agent: AgentState) -> bool:
    return agent.verdict is not None and not agent.verdict.approved


def _deliveries(agents: Iterable[AgentState]) -> Iterator[Delivery]:
    for agent in agents:
        if agent.branch and agent.commit:
            yield Delivery(
                agent_id=agent.agent_id,
                task_id=agent.task_id,
                repository=agent.repository,
                branch=agent.branch,
                commit=agent.commit,
                tokens=agent.usage.total_tokens,
                rounds=agent.rounds,
            )


def _repositories(
    agents: Sequence[AgentState], deliveries: Iterable[Delivery]
) -> Iterator[RepositoryRecap]:
    counts = Counter(one.repository for one in deliveries)
    groups: dict[str, list[AgentState]] = {}
    for agent in agents:
        groups.setdefault(agent.repository, []).append(agent)
    tokens = {
        name: sum(agent.usage.total_tokens for agent in group) for name, group in groups.items()
    }
    for name in sorted(groups, key=lambda name: (-tokens[name], name)):
        delivered = counts[name]
        yield RepositoryRecap(
            repository=name,
            agents=len(groups[name]),
            delivered=delivered,
            tokens=tokens[name],
            cost_usd=_cost(groups[name]),
            tokens_per_delivery=round(tokens[name] / delivered) if delivered else None,
        )


def _cost(agents: Iterable[AgentState]) -> float | None:
    """Return the sum of the costs that backends reported; None if none did."""
    costs = [agent.usage.cost_usd for agent in agents if agent.usage.cost_usd is not None]
    return round(sum(costs), 6) if costs else None


def _slowest(agents: Iterable[AgentState], until: datetime) -> tuple[Wait, ...]:
    waits = []
    for agent in agents:
        started = agent.started_at or agent.completed_at or until
        wait = Wait(
            agent_id=agent.agent_id,
            task_id=agent.task_id,
            # An instant is from the clock of its host.
            waited_s=max(0, round((started - agent.spawned_at).total_seconds())),
            is_unstarted=agent.started_at is None,
            waiting_for=agent.waiting_for if agent.started_at is None else None,
        )
        waits.append(wait)
    waits.sort(key=lambda wait: -wait.waited_s)
    return tuple(waits[:_SLOWEST])


def _kills(ended: Iterable[AgentState], receipts: Mapping[str, Receipt]) -> Iterator[KillRecap]:
    for agent in ended:
        if agent.status is not Status.KILLED:
            continue
        receipt = receipts.get(agent.agent_id)
        if receipt is None:
            by, why, confirmed, proof = "", agent.error or "", False, "the receipt is gone"
        elif receipt.confirmed:
            by, why, confirmed = receipt.by, receipt.why, True
            proof = receipt.proof or receipt.confirmed_by or ""
        else:
            by, why, confirmed = receipt.by, receipt.why, False
            proof = receipt.unproven or "not confirmed yet"
        yield KillRecap(
            agent_id=agent.agent_id,
            task_id=agent.task_id,
            by=by,
            why=why,
            confirmed=confirmed,
            proof=proof,
        )
