"""The model requests of one attempt: admitted within its limits, and closed after the charge."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from orchestrator.errors import OrchestratorError
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import AgentState
from orchestrator.settings.prices import PriceTable
from orchestrator.store.model_requests import (
    Admission,
    TokenNeed,
    admit_request,
    close_requests,
)


@dataclass
class ModelRequests:
    """The open requests of one proxy; its proxy's threads and the monitors' use it."""

    holder: AgentLeases
    agent: AgentState
    #: Names the proxy: a later one of the same agent closes what this one left open.
    session: str
    prices: PriceTable
    _finished: deque[str] = field(default_factory=deque)
    _open: set[str] = field(default_factory=set)
    _refusal: str = ""
    #: The model of a request that was refused because it has no price.
    unpriced: str = ""

    @property
    def refusal(self) -> str:
        """Why a request was refused for lack of tokens; empty as long as others are open.

        An open request has its tokens, and a response that is cut is charged only in part.
        """
        return "" if self._open else self._refusal

    def admit(self, request: str, need: TokenNeed) -> Admission:
        """Reserve the tokens of a request.

        Raises:
            OrchestratorError: the budget cannot be read or written.
        """
        holder = self.holder
        # It is open before its tokens are reserved, so that no check ends the agent in between.
        self._open.add(request)
        price, names = self.prices.of(need.model), (self.session, request)
        step = admit_request(self.agent, *names, need, now=holder.clock(), price=price)
        try:
            admission = holder.store.run(step)
        except OrchestratorError:
            self._open.discard(request)
            raise
        if admission.answer == "unpriced":
            self.unpriced = need.model
        if admission.answer == "refused":
            self._refusal = admission.reason
        if admission.answer != "admitted":
            self._open.discard(request)
        return admission

    def finish(self, request: str) -> None:
        """Record that the usage of a request is complete."""
        self._finished.append(request)

    def drain_finished(self) -> list[str]:
        """Return the requests that finished since the last call; close them after the charge."""
        found = []
        while self._finished:
            found.append(self._finished.popleft())
        return found

    def close(self, requests: list[str]) -> None:
        """Return what these requests did not use.

        Raises:
            OrchestratorError: the budget cannot be written.
        """
        now = self.holder.clock()
        step = close_requests(self.agent.agent_id, self.session, requests, now=now)
        self.holder.store.run(step)
        self._open.difference_update(requests)
