"""A change whose gates have passed, held by a lease that no thread renews."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import (
    OrchestratorError,
)
from orchestrator.leases.attempt_result import Reschedule
from orchestrator.leases.deadlines import DeadlineThread
from orchestrator.leases.lease import Lease
from orchestrator.models import AgentState, Verdict
from orchestrator.models.killing import KillScope
from orchestrator.stages.gate_check.delivery import Delivery, Reconciled
from orchestrator.store import changes
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import kill_switch
from orchestrator.workspace.mirror import Base
from tests.integration.delivery.lab import Lab, write

NEW = write("new.py", "NEW = 1\n")

ORDER = KillOrder("ann", "it loops")


@dataclass(frozen=True)
class Judged:
    """One agent's change whose gates have passed, held by a lease that no thread renews."""

    lab: Lab
    agent: AgentState
    lease: Lease
    reconciled: Reconciled
    verdict: Verdict
    delivery: Delivery

    @property
    def base(self) -> Base:
        return self.reconciled.base

    def deliver(self, **changed: Any) -> dict[str, object]:
        return dict(self.delivery.deliver(*self.inputs(changed)).facts)

    def inputs(self, changed: dict[str, Any]) -> tuple[Any, ...]:
        names = ("agent", "lease", "reconciled", "verdict")
        return tuple(changed.get(name, getattr(self, name)) for name in names)

    def kill(self) -> None:
        """Kill the agent as a person does; the lease does not hear of it."""
        switch = kill_switch(self.lab.settings)
        self.lab.store.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))

    def recover(self) -> None:
        """Let another worker begin the next attempt's gates."""
        holder = self.delivery.holder
        holder.apply(self.agent, Reschedule(OrchestratorError("lost")))
        assert holder.claim_for_gates(self.agent.agent_id, self.agent.attempt + 1)


class Unhurried(Lease):
    """A lease whose waits are written down instead of waited."""

    waits: tuple[float, ...] = ()

    def wait(self, seconds: float) -> None:
        self.waits += (seconds,)
        self.check()


@contextmanager
def judging(lab: Lab, remote: Path, **more: Any) -> Iterator[Judged]:
    agent_id = lab.spawn(remote, NEW, **more)
    lab.work(agent_id)
    gate = lab.services.gate_check
    agent = gate.holder.claim_for_gates(agent_id, lab.state(agent_id).attempt)
    assert agent is not None
    base = gate.mirrors.at(agent.repository, agent.base_branch, agent.base_commit or "")
    bundle = lab.store.follow(changes.get_change(agent_id, agent.change_attempt or agent.attempt))
    lease = Unhurried(lab.store, agent, DeadlineThread(), lease_s=600, clock=gate.holder.clock)
    gate.holder.held[agent_id] = lease
    with gate.candidates.received(base, bundle, agent_id, agent.attempt) as candidate:
        verdict = Verdict(
            approved=True, profile=agent.gate_profile, tree=candidate.tree, plan_digest="d"
        )
        reconciled = Reconciled(base, candidate)
        yield Judged(lab, agent, lease, reconciled, verdict, gate.delivery)
