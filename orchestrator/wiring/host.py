"""Builds what knows the programs and folders of agents on this host."""

from __future__ import annotations

from orchestrator.host.processes import Host, RunsElsewhere
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.maintenance.consistency import ConsistencyCheck
from orchestrator.maintenance.orphan_processes import HostCleaner
from orchestrator.plugins import Family
from orchestrator.settings import Settings
from orchestrator.store.client import Store
from orchestrator.wiring import clock, new_id
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.git import Git
from orchestrator.workspace.orphans import Leftovers

SANDBOXES: Family[Sandbox] = Family("orchestrator.sandboxes")


def host_cleaner(settings: Settings, *, worker: str) -> HostCleaner:
    """Build what keeps the host of this worker clean."""
    store = Store(settings.valkey_url)
    git = Git(settings)
    leftovers = Leftovers(
        Workspaces(settings, git),
        Candidates(settings, git),
        (settings.workspaces_dir, settings.home / "candidates"),
    )
    return HostCleaner(store, host(settings), worker.partition("@")[2], leftovers)


def consistency_check(settings: Settings, store: Store) -> ConsistencyCheck:
    """Build what compares Valkey and this host."""
    home = settings.home
    return ConsistencyCheck(store, host(settings), home, settings.workspaces_dir, clock, new_id)


def sandbox(settings: Settings) -> Sandbox:
    """Build where programs of agents and gates run."""
    return SANDBOXES.build("docker" if settings.sandbox_enabled else "process", settings)


def host(settings: Settings) -> Host:
    """Build what finds and ends the programs of agents on this host."""
    # Not the process sandbox, which would be probed for nothing: its programs are marked.
    programs = sandbox(settings) if settings.sandbox_enabled else None
    return Host(settings.home, programs if isinstance(programs, RunsElsewhere) else None)
