"""The disk limits of agents: free space before a start, and the quota of a running agent."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from orchestrator.errors import DiskQuotaExceeded, NotFound, TransitionRefused
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.store import agent_transitions, agents
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.disk import free_bytes, used_bytes

#: Measuring uses at most a tenth of one core, and one measurement at most `_MEASURE_WITHIN_S`.
_REST_RATIO = 10
_LEAST_REST_S = 10.0
_MEASURE_WITHIN_S = 60.0

#: An agent that waits for disk space is tried again after this.
_PAUSE = timedelta(seconds=30)

log = get_logger("disk")


def has_space(workspaces: Workspaces, holder: AgentLeases, agent_id: str) -> bool:
    """Return whether an agent may start on this disk; otherwise delay it with the reason.

    Touches: the agent's record and the delayed agents.
    """
    lack = workspaces.lacks_space()
    if not lack:
        return True
    store, now = holder.store, holder.clock()
    # The reason names the host, because another host may have enough space.
    lack = f"{lack} ({holder.worker.partition('@')[2] or holder.worker})"
    try:
        agent = store.run(agents.read(agent_id))
        store.run(agent_transitions.delay(agent, until=now + _PAUSE, now=now, why=lack))
    except (TransitionRefused, NotFound) as refusal:
        log.info("message dropped", agentId=agent_id, reason=str(refusal))
    else:
        log.warning("deferred", agentId=agent_id, reason=lack)
    return False


@dataclass
class DiskMonitor:
    """Checks one agent's disk quota; a thread measures, so that `check` does not block."""

    root: Path
    quota_bytes: int
    #: A further folder of the agent's files, which may not exist.
    layers: Path | None = None
    _used_bytes: int = 0
    _free_bytes: int = 0
    _next_s: float = 0.0
    _measuring: threading.Thread | None = None

    def check(self) -> None:
        """Compare the last measurement with the quota, and start a new one if it is due.

        A measurement is due early if the disk has lost more space than the agent's quota leaves.

        Raises:
            DiskQuotaExceeded: the agent uses more than its quota.
        """
        if self._used_bytes > self.quota_bytes:
            msg = f"The agent used {self._used_bytes} of {self.quota_bytes} bytes of disk."
            raise DiskQuotaExceeded(msg)
        if self._measuring is not None and self._measuring.is_alive():
            return
        lost = self._free_bytes - free_bytes(self.root)
        if time.monotonic() >= self._next_s or lost > self.quota_bytes - self._used_bytes:
            self._measuring = threading.Thread(target=self._measure, daemon=True, name="disk-usage")
            self._measuring.start()

    def _measure(self) -> None:
        began_s = time.monotonic()
        self._free_bytes = free_bytes(self.root)
        try:
            folders = [at for at in (self.root, self.layers) if at and at.exists()]
            self._used_bytes = sum(used_bytes(at, within_s=_MEASURE_WITHIN_S) for at in folders)
        except TimeoutError as error:
            log.warning("not measured", root=str(self.root), reason=str(error))
        took_s = time.monotonic() - began_s
        self._next_s = time.monotonic() + max(_REST_RATIO * took_s, _LEAST_REST_S)
