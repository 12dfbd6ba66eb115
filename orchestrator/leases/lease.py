"""The lease one attempt holds on its agent, renewed beside the work until it is lost or taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Self

from orchestrator.errors import (
    AgentKilled,
    AttemptStale,
    LeaseLost,
    OrchestratorError,
    StoreRefused,
    StoreUnreachable,
    TransitionRefused,
    WorkerStopping,
)
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.leases.deadlines import DeadlineThread
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Status
from orchestrator.store.client import SOCKET_TIMEOUT_S, Store
from orchestrator.store.leases import heartbeat
from orchestrator.store.patience import waiting_with

#: A kill is seen within this, whatever the lease.
RENEW_EVERY_S = 1.0
#: Of the lease, before who cannot renew it stops the agent.
_USABLE = 0.8
#: A heartbeat without an answer is given up after this part of what is left, and sent again.
_TRY_RATIO = 1 / 3
#: What Valkey did not answer is tried again after this.
_TRY_AGAIN_S = 0.25
#: A wait for space in Valkey is logged this often.
_REPORT_WAIT_EVERY_S = 30.0
#: What is taken for the answer when none came in that time.
_LOST = "lost"

log = get_logger("lease")


class Lease:
    """Renews an agent's lease from a thread; the worker asks `check` before each next step.

    What the worker's thread starts while it holds the lease is in its cancel scope: once the agent
    is no longer this attempt's, all of it is ended at once. The end of a lease that is not renewed
    comes by a deadline of its own, whatever the renewing and the working thread wait for. What
    the worker's thread asks of Valkey meanwhile is asked again for as long as the lease lasts.

    Ages are by the clock of the deadlines, which no one sets; `clock` tells instants only.
    """

    def __init__(
        self,
        store: Store,
        agent: AgentState,
        deadlines: DeadlineThread,
        *,
        lease_s: float,
        clock: Callable[[], datetime],
        labels: Mapping[str, str] | None = None,
        claimed_at_s: float | None = None,
    ) -> None:
        self._store = store
        self._agent = agent
        self._lease_s = lease_s
        self._clock = clock
        self._deadlines = deadlines
        self._elapsed = deadlines.elapsed
        #: Before it was asked for: Valkey counts from no earlier than that.
        self._renewed_at_s = self._elapsed() if claimed_at_s is None else claimed_at_s
        self._answer = "held"
        self._reports_wait_at_s = 0.0
        #: Between the answer of a heartbeat and the deadline, the first counts.
        self._deciding = threading.Lock()
        #: The limit that leaves the agent nothing to spend; empty while there is something.
        self.overrun = ""
        self._is_stopping = False
        self.is_released = False
        self._stop = threading.Event()
        self._work = ExitStack()
        self.cancel_scope = CancelScope(labels)
        self._thread = threading.Thread(target=self._renew_until_stopped, daemon=True)

    def __enter__(self) -> Self:
        self._work.enter_context(working_in(self.cancel_scope))
        self._work.enter_context(waiting_with(self, self.wait_for_space))
        self._work.enter_context(self._deadlines.watching(self))
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
        # In this order: the deadline of one that is another's by now is nobody's.
        self.is_released = True
        self._stop.set()

    def supersede(self) -> None:
        """End this attempt, unless it has ended: the same process has claimed the agent again.

        A failover of Valkey lost the first claim. Number and holder are equal, so that Valkey
        cannot tell the two from each other.
        """
        if not self.is_released:
            self._answer = "stale"
            self.release()
            self.cancel_scope.end()

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
        self._check_answer()
        if self._is_stopping:
            raise WorkerStopping
        self.check_time()

    def check_held(self) -> None:
        """Return if this attempt still owns its agent; a worker asked to end may finish a save.

        Raises as `check` does, but no WorkerStopping.
        """
        self._check_answer()
        self.check_time()

    def _check_answer(self) -> None:
        agent_id, answer = self._agent.agent_id, self._answer
        if answer == Status.KILLED:
            msg = f"Agent {agent_id} was killed."
            raise AgentKilled(msg)
        if answer in ("stale", "absent"):
            raise AttemptStale
        if answer not in ("held", _LOST):
            msg = f"Agent {agent_id} is already {answer}."
            raise TransitionRefused(msg)

    def check_time(self, cause: Exception | None = None) -> None:
        """Return if the agent cannot be another's yet.

        Raises:
            LeaseLost: Valkey was unreachable for nearly as long as the lease.
        """
        if self._answer == _LOST or self.usable_s() <= 0:
            raise LeaseLost from cause

    def usable_s(self) -> float:
        """Return how long the agent is still this attempt's if nothing renews the lease."""
        return self._renewed_at_s + self._lease_s * _USABLE - self._elapsed()

    def expire(self) -> bool:
        """End what runs, before the agent can pass to another; an answer now comes too late.

        Returns False where the lease was renewed meanwhile.
        """
        with self._deciding:
            if not self._is_ours:
                return True
            if self.usable_s() > 0:
                return False
            self._answer = _LOST
        log.warning("lease lost", agentId=self._agent.agent_id)
        self.cancel_scope.end()
        return True

    # ── the patience of the worker's thread ─────────────────────────────────────────────────

    def left_s(self, blocks_s: float) -> float | None:
        """Return how long one try of an operation may take; as `Patience` says."""
        if not self._is_ours:
            return None
        return min(max(self.usable_s(), _TRY_AGAIN_S) + blocks_s, SOCKET_TIMEOUT_S)

    def pause(self, error: StoreUnreachable) -> None:
        """Return when an operation is to be tried again: an outage ends nothing by itself.

        Raises:
            StoreUnreachable: the error, where the agent is this attempt's no more.
            LeaseLost: Valkey was unreachable for nearly as long as the lease.
        """
        if not self._is_ours:
            raise error
        self.check_time(error)
        time.sleep(_TRY_AGAIN_S)

    def record_answer(self) -> None:
        """Hear that Valkey answered; only a heartbeat renews the lease."""

    def wait_for_space(self, refusal: StoreRefused) -> None:
        """Return when a write is to be tried again that Valkey refuses for lack of space.

        Heartbeats work without memory, so the lease bears a shortage of any length.

        Raises:
            StoreRefused: the refusal, where the agent is this attempt's no more, or this worker is
                asked to end.
            LeaseLost: heartbeats were refused too, for nearly as long as the lease.
        """
        if not self._is_ours or self._is_stopping:
            raise refusal
        self.check_time(refusal)
        now_s = self._elapsed()
        if now_s >= self._reports_wait_at_s:
            self._reports_wait_at_s = now_s + _REPORT_WAIT_EVERY_S
            log.warning("waits for space", agentId=self._agent.agent_id, reason=str(refusal))
        time.sleep(_TRY_AGAIN_S)

    @property
    def _is_ours(self) -> bool:
        return self._answer == "held" and not self.is_released

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than the agent is ours; raises as `check` does."""
        over_s = self._elapsed() + seconds
        while (left_s := over_s - self._elapsed()) > 0:
            self.check()
            self._stop.wait(min(left_s, RENEW_EVERY_S))
        self.check()

    def _renew_until_stopped(self) -> None:
        every_s = pause_s = min(RENEW_EVERY_S, self._lease_s / 3)
        while self._answer == "held" and not self._stop.wait(pause_s):
            asked_at_s = self._elapsed()
            step = heartbeat(self._agent, lease_s=self._lease_s, now=self._clock())
            try:
                reply = self._store.run_within(step, self.usable_s() * _TRY_RATIO)
            except OrchestratorError as error:
                log.warning("heartbeat failed", agentId=self._agent.agent_id, reason=str(error))
                pause_s = min(_TRY_AGAIN_S, every_s)
                if self.usable_s() <= 0:
                    self.expire()
                continue
            pause_s = every_s
            self._heed_answer(reply, asked_at_s)

    def _heed_answer(self, reply: str, asked_at_s: float) -> None:
        with self._deciding:
            if self._answer != "held":
                return
            self._renewed_at_s = asked_at_s
            answer, _, self.overrun = reply.partition(" ")
            if answer == "held":
                return
            self._answer = answer
        self.cancel_scope.end()
