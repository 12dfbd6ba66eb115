"""Keeps a host clean of agents: hears kills, ends strays, removes what is left, confirms kills."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.errors import GitFailed, OrchestratorError
from orchestrator.host.processes import Host
from orchestrator.log import get_logger
from orchestrator.maintenance.work_saver import WorkSaver
from orchestrator.models import Phase, Receipt
from orchestrator.store import agents, kills
from orchestrator.store.client import Store
from orchestrator.workspace.orphans import Leftovers

#: The host is swept this often, and at start.
SWEEP_EVERY_S = 5.0
#: How long a stray may take to die.
END_WITHIN_S = 5.0
_PAUSE_S = 0.5

log = get_logger("janitor")


@dataclass(frozen=True)
class HostCleaner:
    """Looks at this host's processes and folders; any number of workers may, side by side."""

    store: Store
    host: Host
    #: This host as workers name it: `<pool>@<name>`.
    name: str
    leftovers: Leftovers
    work_saver: WorkSaver

    def start(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Sweep now and every few seconds, in threads that live as long as the process."""

        def keep_doing(step: Callable[[], None]) -> None:
            while True:
                try:
                    step()
                except (OrchestratorError, OSError) as error:
                    log.warning("host not swept", reason=str(error))
                except Exception:  # the process edge: nobody else would start it again
                    log.exception("host not swept")
                sleep(SWEEP_EVERY_S)

        # Two: saving work may take minutes, and the proof of a kill waits for none of it.
        for step in (self._end_orphans, self._keep_work):
            threading.Thread(target=keep_doing, args=(step,), daemon=True, name="janitor").start()

    def sweep(self) -> None:
        """End what no worker answers for, confirm kills whose worker is gone, keep what is left.

        An agent is cleaned up after by one host, and may have been lost on another.
        """
        self._end_orphans()
        self._keep_work()

    def _keep_work(self) -> None:
        """Store what lost attempts left here, and remove what is left of ended agents."""
        self._remove_leftovers()
        self.work_saver.review()

    def _remove_leftovers(self) -> None:
        here = self.leftovers.agents()
        if not here:
            return
        states = self.store.follow(agents.find_each(here))
        for agent_id, agent in zip(here, states, strict=True):
            # Whose record is gone may be another Valkey's: that is for `orch fsck` to show.
            if agent is None:
                continue
            if agent.phase is not Phase.CLEANED and not self._is_lost(agent_id):
                continue
            try:
                freed = self.leftovers.remove(agent_id)
            except GitFailed as error:
                log.warning("leftovers not removed", agentId=agent_id, reason=str(error))
            else:
                log.info("leftovers removed", agentId=agent_id, bytes=freed)

    def _is_lost(self, agent_id: str) -> bool:
        """Whether an attempt left work here that nobody holds any more."""
        return self.work_saver.is_left(agent_id) and agent_id not in self.host.orphans()

    def _end_orphans(self) -> None:
        if ended := self.host.end_orphans(within_s=END_WITHIN_S):
            log.warning("strays ended", agents=sorted(ended))
        waiting = self.store.run(kills.unconfirmed())
        if not waiting:
            return
        receipts = self.store.run(kills.find_receipts(waiting))
        left = self.host.orphans()
        for receipt in receipts:
            if receipt is not None and self._is_ours(receipt):
                self._confirm(receipt, left.get(receipt.agent_id, ()))

    def _is_ours(self, receipt: Receipt) -> bool:
        """Whether its worker was a process of this host, and is no more or has let go of it."""
        worker = receipt.worker or ""
        is_here = worker.partition("@")[2] == self.name
        return is_here and not self.host.lives(receipt.worker_process or "")

    def _confirm(self, receipt: Receipt, survivors: tuple[int, ...]) -> None:
        facts: dict[str, object] = {"confirmed": True, "confirmedBy": "janitor"}
        if survivors:
            facts = {"survivors": survivors}
        self.store.run(kills.add_to_receipt(receipt.agent_id, facts))
