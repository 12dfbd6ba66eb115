"""Builds the services that use the processes and folders of agents on this host.

What belongs to a stage is imported where it is built: the worker of another queue needs none of it.
"""

from __future__ import annotations

import os
import socket
from functools import cache, partial
from typing import TYPE_CHECKING

from orchestrator.host.identity import host_identity
from orchestrator.host.processes import Host, RunsElsewhere, process_label, system_label
from orchestrator.host.tree_records import TreeRecords
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.orphan_processes import HostCleaner
from orchestrator.maintenance.work_saver import WorkSaver
from orchestrator.plugins import Family
from orchestrator.settings import Settings
from orchestrator.store.client import Store
from orchestrator.store.server_clock import ServerClock
from orchestrator.wiring import clock, new_id
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Mirrors
from orchestrator.workspace.orphans import Leftovers
from orchestrator.workspace.unsaved import Unsaved

if TYPE_CHECKING:
    from orchestrator.environments.service import Environments
    from orchestrator.gates.detection import Detector
    from orchestrator.maintenance.consistency import ConsistencyCheck
    from orchestrator.stages.spawn.capture import ChangeCapture

SANDBOXES: Family[Sandbox] = Family("orchestrator.sandboxes")
DETECTORS: Family[Detector] = Family("orchestrator.gates.detectors")


def host_cleaner(settings: Settings, *, worker: str) -> HostCleaner:
    """Build the host cleaner of this worker; `worker` is `<pool>@<host>`."""
    store = Store(settings.valkey_url)
    saver = work_saver(settings, store, worker=worker)
    leftovers = Leftovers(
        partial(saver.remove, wait_s=0.0),
        Candidates(settings, Git(settings)),
        (settings.workspaces_dir, settings.home / "candidates"),
    )
    trees = TreeRecords(settings.home)
    here = worker.partition("@")[2]
    holder = agent_leases(settings, store, worker=worker)
    return HostCleaner(store, host(settings), here, leftovers, saver, holder, trees)


def work_saver(settings: Settings, store: Store, *, worker: str) -> WorkSaver:
    """Build the service that saves work which is not delivered."""

    @cache
    def capture() -> ChangeCapture:
        # Built at first use, because it probes the sandbox and most hosts have no work to save.
        from orchestrator.stages.spawn.capture import ChangeCapture  # noqa: PLC0415 - as above

        return ChangeCapture(
            agent_leases(settings, store, worker=worker),
            sandbox(settings),
            settings,
            environments(settings, sandbox(settings)).products,
        )

    workspaces = Workspaces(settings, Git(settings))
    return WorkSaver(
        store,
        clock,
        worker.partition("@")[2],
        workspaces,
        Unsaved(settings, workspaces),
        lambda agent, workspace, base: capture().salvage(agent, workspace, base),
        settings.retention_s,
    )


def consistency_check(settings: Settings, store: Store) -> ConsistencyCheck:
    """Build the consistency check of Valkey and this host."""
    from orchestrator.maintenance.consistency import (  # noqa: PLC0415 - see the module
        ConsistencyCheck,
    )

    home, here = settings.home, f"fsck@{socket.gethostname()}"
    saver = work_saver(settings, store, worker=here)
    return ConsistencyCheck(
        store,
        host(settings),
        home,
        settings.workspaces_dir,
        clock,
        new_id,
        saver.remove,
        saver.unsaved.all,
        saver.unsaved.unreadable,
        saver.store_now,
    )


def sandbox(settings: Settings) -> Sandbox:
    """Build the sandbox for the programs of agents and gates."""
    return SANDBOXES.build("docker" if settings.sandbox_enabled else "process", settings)


def detectors(settings: Settings) -> tuple[Detector, ...]:
    """Build every detector, in the order in which their commands run."""
    from orchestrator.gates.detectors import ordered  # noqa: PLC0415 - see the module

    return tuple(DETECTORS.build(name, settings) for name in ordered(DETECTORS.names()))


def environments(settings: Settings, programs: Sandbox) -> Environments:
    """Build the environments of repositories; their set-ups run in the given sandbox."""
    from orchestrator.egress.proxies import EgressProxies  # noqa: PLC0415 - see the module
    from orchestrator.environments.service import Environments  # noqa: PLC0415 - as above

    git = Git(settings)
    egress = EgressProxies(settings, new_id)
    return Environments(
        Mirrors(settings, git), detectors(settings), programs, egress, settings, git
    )


def host(settings: Settings) -> Host:
    """Build the service that finds and ends the processes of agents on this host."""
    # The process sandbox is not built, because process labels suffice to find its programs.
    programs = sandbox(settings) if settings.sandbox_enabled else None
    return Host(settings.home, programs if isinstance(programs, RunsElsewhere) else None)


@cache
def server_clock(valkey_url: str) -> ServerClock:
    """Return the clock of this Valkey in this process."""
    return ServerClock(Store(valkey_url))


def agent_leases(settings: Settings, store: Store, *, worker: str) -> AgentLeases:
    """Build the leases of one worker process; their instants are those of Valkey's clock."""
    return AgentLeases(
        store,
        server_clock(settings.valkey_url),
        new_id,
        worker=worker,
        lease_s=settings.lease_s,
        process=f"{process_label(os.getpid())}@{host_identity()}",
        system=system_label(settings.home),
        trees=TreeRecords(settings.home),
    )
