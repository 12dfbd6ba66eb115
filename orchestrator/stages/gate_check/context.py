"""The gate context: the data of one attempt that the gate-check stage passes between its steps."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.leases.lease import Lease
from orchestrator.models import AgentState, SpawnRequest
from orchestrator.workspace.change import Candidate
from orchestrator.workspace.mirror import Base


@dataclass(frozen=True)
class GateContext:
    """One attempt's change, the base of its checks, its request and its lease.

    A rebase onto a new tip of the target branch makes a new context.
    """

    agent: AgentState
    request: SpawnRequest
    lease: Lease
    base: Base
    candidate: Candidate
