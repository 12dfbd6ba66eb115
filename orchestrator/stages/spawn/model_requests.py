"""The model requests of one attempt: admitted within its limits, and closed after the charge."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

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
    _admission: Lock = field(default_factory=Lock)
    _is_ended: bool = False
    #: Why a request was refused for lack of tokens.
    refusal: str = ""
    #: The model of a request that was refused because it has no price.
    unpriced: str = ""

    @property
    def has_open(self) -> bool:
        """Whether a request is open: until the usage of its response is charged."""
        return bool(self._open)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Admit no request within the block, and none any more if it raises.

        A response is paid and not counted if its request is admitted while the agent is ended.
        """
        with self._admission:
            try:
                yield
            except BaseException:
                self._is_ended = True
                raise

    def admit(self, request: str, need: TokenNeed) -> Admission:
        """Reserve the tokens of a request.

        Raises:
            OrchestratorError: the budget cannot be read or written.
        """
        holder, price = self.holder, self.prices.of(need.model)
        with self._admission:
            if self._is_ended:
                return Admission("ended", reason="The agent is being ended.")
            names = (self.session, request)
            step = admit_request(self.agent, *names, need, now=holder.clock(), price=price)
            # Open before its answer: an error leaves unknown whether its tokens are reserved.
            self._open.add(request)
            try:
                admission = holder.store.run(step)
            except OrchestratorError:
                self.finish(request)
                raise
            if admission.answer != "admitted":
                self._open.discard(request)
        if admission.answer == "unpriced":
            self.unpriced = need.model
        if admission.answer == "refused":
            self.refusal = admission.reason
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
