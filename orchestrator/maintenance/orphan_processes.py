"""The host cleaner: ends orphans, confirms kills, saves work, recovers agents, removes folders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator.errors import GitFailed, LeaseLost, OrchestratorError
from orchestrator.host.identity import host_identity
from orchestrator.host.processes import Host
from orchestrator.host.tree_records import TreeRecords
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.maintenance.work_saver import WorkSaver
from orchestrator.models import AgentState, Phase, Receipt
from orchestrator.models.state_machine import PHASES
from orchestrator.store import agents, kills, leases
from orchestrator.store.client import Store
from orchestrator.store.server import now as server_now
from orchestrator.store.transition import now_ms
from orchestrator.workspace.orphans import Leftovers

#: The interval of the sweeps of a host; the first is at start.
SWEEP_EVERY_S = 5.0
#: The time within which an orphan process must end.
END_WITHIN_S = 5.0
#: A live process has renewed its leases within this.
RENEWED_WITHIN_S = 2.0
_PAUSE_S = 0.5
#: The reason in the receipt of a kill without proof.
UNPROVEN = (
    "a supervisor was killed, and no cgroup or PID namespace of its own was seen empty:"
    " a process without labels may be left on this host"
)
#: A worker without Valkey has ended its agents after one lease.
_ENDED_WITHIN_LEASES = 2

log = get_logger("host_cleaner")


@dataclass(frozen=True)
class HostCleaner:
    """Cleans this host's processes and folders; several workers may do so at the same time."""

    store: Store
    host: Host
    #: This host as workers name it: `<pool>@<name>`.
    name: str
    leftovers: Leftovers
    work_saver: WorkSaver
    holder: AgentLeases
    #: What the supervisors of this host have not seen to end.
    trees: TreeRecords | None = None
    #: This host as the labels of worker processes name it: `machine.boot`.
    identity: str = field(default_factory=host_identity)

    def start(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Start two daemon threads that sweep now and every `SWEEP_EVERY_S` seconds."""

        def keep_doing(step: Callable[[], None]) -> None:
            while True:
                try:
                    step()
                except (OrchestratorError, OSError) as error:
                    log.warning("host not swept", reason=str(error))
                except Exception:  # the process edge: nothing else would restart the thread
                    log.exception("host not swept")
                sleep(SWEEP_EVERY_S)

        # Saving work may take minutes, so kill confirmations have their own thread.
        for step in (self._end_orphans, self._keep_work):
            threading.Thread(
                target=keep_doing, args=(step,), daemon=True, name="host-cleaner"
            ).start()

    def sweep(self) -> None:
        """End orphan processes, confirm kills of workers that are gone, save and remove the rest.

        An agent whose worker process has ended on this host is recovered before its lease ends. The
        cleanup of an agent runs on one host, but its lost attempts may be on other hosts.

        Raises:
            StoreUnreachable: Valkey does not answer.
            SandboxUnavailable: the orphans of the sandbox cannot be listed.
        """
        self._end_orphans()
        self._keep_work()

    def _keep_work(self) -> None:
        """Save the work of lost attempts here, recover them, and remove folders of ended agents."""
        self._remove_leftovers()
        self._recover_lost()
        self.work_saver.review()

    def _remove_leftovers(self) -> None:
        here = self.leftovers.agents()
        if not here:
            return
        states = self.store.follow(agents.find_each(here))
        for agent_id, agent in zip(here, states, strict=True):
            # An agent without a record may belong to another Valkey: only `orch fsck` shows it.
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

    def _recover_lost(self) -> None:
        """Recover the agents of processes that have ended here, with or without files."""
        renewed = timedelta(seconds=self.holder.lease_s - RENEWED_WITHIN_S)
        silent = self.store.run(leases.expired(self.holder.clock() + renewed))
        held = self.store.follow(agents.read_each(silent))
        lost = [agent.agent_id for agent in held if self._is_of_dead_process(agent)]
        left = self.host.orphans() if lost else {}
        for agent_id in lost:
            if agent_id not in left:
                self._recover(agent_id)

    def _recover(self, agent_id: str) -> None:
        """Let an agent go on whose worker process is gone, before its lease ends.

        Its work is saved, so the next attempt continues from it. Until another worker that saves it
        now is done, it is not.
        """
        if self.work_saver.has_unsaved(agent_id):
            return
        if self.trees is not None and not self.trees.is_proven(agent_id):
            # A process without labels may still run: it has until the end of the lease.
            return
        # Read again: the last step of the process may have been to let go of it.
        agent = self.store.run(agents.read(agent_id))
        if self._is_of_dead_process(agent):
            msg = f"A process of worker {agent.worker} has ended ({agent.phase})."
            self.holder.recover(agent, LeaseLost(msg))

    def _is_of_dead_process(self, agent: AgentState) -> bool:
        """Return whether a process of this host holds the agent, and has ended."""
        process, _, identity = (agent.worker_process or "").partition("@")
        is_held_here = PHASES[agent.phase].is_held and identity == self.identity
        return is_held_here and not self.host.lives(process)

    def _is_lost(self, agent_id: str) -> bool:
        """Return whether an attempt left work here that no worker holds."""
        return self.work_saver.is_left(agent_id) and agent_id not in self.host.orphans()

    def _end_orphans(self) -> None:
        if ended := self.host.end_orphans(within_s=END_WITHIN_S):
            log.warning("orphan processes ended", agents=sorted(ended))
        waiting = self.store.run(kills.unconfirmed())
        if not waiting:
            return
        receipts = self.store.run(kills.find_receipts(waiting))
        left = self.host.orphans()
        for receipt in receipts:
            if receipt is not None and self._is_ours(receipt):
                self._confirm(receipt, left.get(receipt.agent_id, ()))

    def _is_ours(self, receipt: Receipt) -> bool:
        """Return whether the holder was a worker process of this host that is not alive.

        Two hosts can have one name, and copies of one image one machine-id. A process of another
        boot cannot be seen here. After a reboot this host confirms its end once a live process
        would have ended its agents by itself.
        """
        process, _, identity = (receipt.worker_process or "").partition("@")
        if (receipt.worker or "").partition("@")[2] != self.name:
            return False
        # A version before this one wrote no identity.
        if not identity or identity == self.identity:
            return not self.host.lives(process)
        if identity.partition(".")[0] != self.identity.partition(".")[0]:
            return False
        if receipt.clock_ms is None:
            return False
        age_ms = now_ms(self.store.run(server_now())) - receipt.clock_ms
        return age_ms > 1000 * _ENDED_WITHIN_LEASES * self.holder.lease_s

    def _confirm(self, receipt: Receipt, survivors: tuple[int, ...]) -> None:
        """Confirm a kill if the end was seen; that no labelled process is left is only a hint."""
        facts: dict[str, object] = {"confirmed": True, "confirmedBy": "host_cleaner"}
        facts["proof"] = "supervisor"
        if survivors:
            facts = {"survivors": survivors}
        elif self.trees is not None and not self.trees.is_proven(receipt.agent_id):
            facts = {"unproven": UNPROVEN}
        self.store.run(kills.add_to_receipt(receipt.agent_id, facts))
