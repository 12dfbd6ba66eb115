"""What the gate-check stage knows of one attempt while it checks and delivers it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.leases.lease import Lease
from orchestrator.models import AgentState, SpawnRequest
from orchestrator.workspace.change import Candidate
from orchestrator.workspace.mirror import Base


@dataclass(frozen=True)
class GateContext:
    """One attempt's change and what it is checked against.

    A rebase onto a new tip of the target branch makes a new context.
    """

    agent: AgentState
    request: SpawnRequest
    lease: Lease
    base: Base
    candidate: Candidate
