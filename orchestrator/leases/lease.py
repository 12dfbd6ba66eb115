"""The lease one attempt holds on its agent, renewed beside the work until it is lost or taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from orchestrator.errors import (
    AgentKilled,
    AttemptStale,
    LeaseLost,
    OrchestratorError,
    TransitionRefused,
    WorkerStopping,
)
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Status
from orchestrator.store.client import Store
from orchestrator.store.leases import heartbeat

#: A kill is seen within this, whatever the lease.
RENEW_EVERY_S = 1.0
#: Of the lease, before who cannot renew it stops the agent.
_USABLE = 0.8
#: What is taken for the answer when none came in that time.
_LOST = "lost"

log = get_logger("lease")


class Lease:
    """Renews an agent's lease from a thread; the worker asks `check` before each next step.

    What the worker's thread starts while it holds the lease is in its custody: once the agent is
    no longer this attempt's, all of it is ended at once.
    """

    def __init__(
        self,
        store: Store,
        agent: AgentState,
        *,
        lease_s: float,
        clock: Callable[[], datetime],
        marks: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._agent = agent
        self._lease_s = lease_s
        self._clock = clock
        self._renewed_at = clock()
        self._answer = "held"
        #: The limit that leaves the agent nothing to spend; empty while there is something.
        self.overrun = ""
        self._is_stopping = False
        self.is_released = False
        self._stop = threading.Event()
        self._work = ExitStack()
        self.cancel_scope = CancelScope(marks)
        self._thread = threading.Thread(target=self._renew_until_stopped, daemon=True)

    def __enter__(self) -> Self:
        self._work.enter_context(working_in(self.cancel_scope))
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._work.close()
        self._stop.set()
        self._thread.join()

    @property
    def agent(self) -> AgentState:
        """The agent as it was when it was taken."""
        return self._agent

    @property
    def is_killed(self) -> bool:
        """Whether the agent was killed under this attempt."""
        return self._answer == Status.KILLED

    def stop(self) -> None:
        """Let the worker's next `check` give the agent back."""
        self._is_stopping = True

    def release(self) -> None:
        """Renew no more: the agent was handed on and may be another's by now."""
        self.is_released = True
        self._stop.set()

    def revoke(self) -> None:
        """Hear of the agent's kill from elsewhere, sooner than from the next heartbeat."""
        self._answer = Status.KILLED
        self.cancel_scope.end()

    def check(self) -> None:
        """Return if this attempt still owns its agent.

        Raises:
            AgentKilled: someone killed it.
            AttemptStale: another attempt owns it.
            WorkerStopping: this worker is asked to end.
            LeaseLost: Valkey was away for nearly as long as the lease.
        """
        agent_id, answer = self._agent.agent_id, self._answer
        if answer == Status.KILLED:
            msg = f"Agent {agent_id} was killed."
            raise AgentKilled(msg)
        if answer in ("stale", "absent"):
            raise AttemptStale
        if answer not in ("held", _LOST):
            msg = f"Agent {agent_id} is already {answer}."
            raise TransitionRefused(msg)
        if self._is_stopping:
            raise WorkerStopping
        self.check_time()

    def check_time(self, cause: Exception | None = None) -> None:
        """Return if the agent cannot be another's yet.

        Raises:
            LeaseLost: Valkey was away for nearly as long as the lease.
        """
        age_s = (self._clock() - self._renewed_at).total_seconds()
        if self._answer == _LOST or age_s > self._lease_s * _USABLE:
            raise LeaseLost from cause

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than the agent is ours; raises as `check` does."""
        deadline = self._clock() + timedelta(seconds=seconds)
        while (left_s := (deadline - self._clock()).total_seconds()) > 0:
            self.check()
            self._stop.wait(min(left_s, RENEW_EVERY_S))
        self.check()

    def _renew_until_stopped(self) -> None:
        while self._answer == "held" and not self._stop.wait(min(RENEW_EVERY_S, self._lease_s / 3)):
            asked_at = self._clock()
            try:
                reply = self._store.run(heartbeat(self._agent, lease_s=self._lease_s, now=asked_at))
            except OrchestratorError as error:
                log.warning("heartbeat failed", agentId=self._agent.agent_id, reason=str(error))
                try:
                    self.check_time()
                except LeaseLost:
                    # Before it can pass to another; an answer that comes now comes too late.
                    self._answer = _LOST
                    self.cancel_scope.end()
                continue
            self._renewed_at = asked_at
            answer, _, self.overrun = reply.partition(" ")
            if answer != "held":
                self._answer = answer
                self.cancel_scope.end()
