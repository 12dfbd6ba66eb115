"""The composition root: settings become services, and nothing is built anywhere else."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial

from orchestrator.audit.log import Audit
from orchestrator.control.api_keys import ApiKeys
from orchestrator.control.budget import BudgetService
from orchestrator.control.kill_switch import KillSwitch
from orchestrator.control.queues import QueuePauses
from orchestrator.control.submit import SubmitService
from orchestrator.egress.proxies import EgressProxies
from orchestrator.gates.coordinator import Coordinator
from orchestrator.gates.detectors import ordered
from orchestrator.host.processes import Host, RunsElsewhere, process_label, system_label
from orchestrator.interfaces.agent import AgentBackend
from orchestrator.interfaces.forge import Forge
from orchestrator.interfaces.gate import Detector, Gate
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.leases.holder import AgentLeases
from orchestrator.maintenance.consistency import ConsistencyCheck
from orchestrator.maintenance.kill_listener import KillListener
from orchestrator.maintenance.orphan_processes import HostCleaner
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.maintenance.work_saver import WorkSaver
from orchestrator.plugins import Family
from orchestrator.secretscan.allowlist import AllowList
from orchestrator.secretscan.scanner import Scanner
from orchestrator.settings import Settings
from orchestrator.signing import signing_key
from orchestrator.stages.cleanup import Cleanup
from orchestrator.stages.gate_check.delivery import Delivery
from orchestrator.stages.gate_check.gate_runner import GateRunner
from orchestrator.stages.gate_check.pipeline import GateCheckStage
from orchestrator.stages.gate_check.secrets import SecretFindings
from orchestrator.stages.spawn.capture import ChangeCapture
from orchestrator.stages.spawn.executor import AgentExecutor
from orchestrator.stages.spawn.runner import SpawnStage
from orchestrator.store.client import Store
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.credentials import Credentials
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Mirrors
from orchestrator.workspace.orphans import Leftovers
from orchestrator.workspace.push import Remote
from orchestrator.workspace.unsaved import Unsaved

BACKENDS: Family[AgentBackend] = Family("orchestrator.backends", "orchestrator.agents")
SANDBOXES: Family[Sandbox] = Family("orchestrator.sandboxes")
DETECTORS: Family[Detector] = Family("orchestrator.gates.detectors")
CHECKS: Family[Gate] = Family("orchestrator.gates.checks")
FORGES: Family[Forge] = Family("orchestrator.forges")


@dataclass(frozen=True)
class Services:
    """What a worker process needs for every task."""

    settings: Settings
    store: Store
    submit_service: SubmitService
    runner: SpawnStage
    gate_check: GateCheckStage
    cleanup: Cleanup
    rescuer: Rescuer
    audit: Audit
    kill_listener: KillListener


def clock() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make a new id."""
    return str(uuid.uuid4())


def submit_service(settings: Settings) -> SubmitService:
    """Build the front door of this system."""
    return SubmitService(
        default_agent=settings.default_agent,
        agents=frozenset(BACKENDS.names()),
        clock=clock,
        new_id=new_id,
    )


def audit(settings: Settings) -> Audit:
    """Build what keeps the audit."""
    return Audit(signing_key(settings, "audit"), clock, new_id)


def kill_switch(settings: Settings) -> KillSwitch:
    """Build what kills, halts and resumes."""
    return KillSwitch(audit(settings), clock, new_id)


def api_keys(settings: Settings) -> ApiKeys:
    """Build what knows who may ask."""
    key = settings.api_key.get_secret_value().encode() if settings.api_key else None
    # Another name than loopback's is a proxy's, behind which everyone is local.
    asks = bool(settings.allowed_hosts)
    return ApiKeys(audit(settings), clock, key, settings.spawn_rate, always_asks=asks)


def queue_pauses(settings: Settings) -> QueuePauses:
    """Build what pauses and resumes queues."""
    return QueuePauses(audit(settings), clock)


def budget(settings: Settings) -> BudgetService:
    """Build what reads and changes the budget."""
    return BudgetService(settings, clock, audit(settings).append)


def host_cleaner(settings: Settings, *, worker: str) -> HostCleaner:
    """Build what keeps the host of this worker clean."""
    store = Store(settings.valkey_url)
    saver = work_saver(settings, store, worker=worker)
    leftovers = Leftovers(
        partial(saver.remove, wait_s=0.0),
        Candidates(settings, Git(settings)),
        (settings.workspaces_dir, settings.home / "candidates"),
    )
    return HostCleaner(store, host(settings), worker.partition("@")[2], leftovers, saver)


def work_saver(settings: Settings, store: Store, *, worker: str) -> WorkSaver:
    """Build what keeps the work that does not leave through the gates."""

    @cache
    def capture() -> ChangeCapture:
        # At first use: a sandbox is probed for, and most hosts have nothing to save.
        return ChangeCapture(_holder(settings, store, worker=worker), sandbox(settings), settings)

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
    """Build what compares Valkey and this host."""
    home, here = settings.home, f"fsck@{socket.gethostname()}"
    remove = work_saver(settings, store, worker=here).remove
    return ConsistencyCheck(
        store, host(settings), home, settings.workspaces_dir, clock, new_id, remove
    )


def _check_of(gate: str, *, settings: Settings) -> Gate:
    """Return the check that judges a gate: the one named like it, else that of any command."""
    name = gate.replace("-", "_")
    return CHECKS.build(name if name in CHECKS.names() else "command", settings)


def detectors(settings: Settings) -> tuple[Detector, ...]:
    """Build every detector, in the order in which they are asked."""
    return tuple(DETECTORS.build(name, settings) for name in ordered(DETECTORS.names()))


def gate_runner(settings: Settings) -> GateRunner:
    """Build what runs gates."""
    checks = partial(_check_of, settings=settings)
    return GateRunner(checks, sandbox(settings), EgressProxies(settings, new_id), settings)


def sandbox(settings: Settings) -> Sandbox:
    """Build where programs of agents and gates run."""
    return SANDBOXES.build("docker" if settings.sandbox_enabled else "process", settings)


def host(settings: Settings) -> Host:
    """Build what finds and ends the programs of agents on this host."""
    # Not the process sandbox, which would be probed for nothing: its programs are marked.
    programs = sandbox(settings) if settings.sandbox_enabled else None
    return Host(settings.home, programs if isinstance(programs, RunsElsewhere) else None)


def _holder(settings: Settings, store: Store, *, worker: str) -> AgentLeases:
    return AgentLeases(
        store,
        clock,
        new_id,
        worker=worker,
        lease_s=settings.lease_s,
        process=process_label(os.getpid()),
        system=system_label(settings.home),
    )


def build(settings: Settings, *, worker: str) -> Services:
    """Build the services of one worker process; connections open at first use."""
    store = Store(settings.valkey_url)
    holder = _holder(settings, store, worker=worker)
    chain = audit(settings)
    programs = sandbox(settings)
    git = Git(settings)
    mirrors = Mirrors(settings, git)
    workspaces = Workspaces(settings, git)
    candidates = Candidates(settings, git)
    saver = work_saver(settings, store, worker=worker)
    scanner = Scanner(
        signing_key(settings, "secret-fingerprints"), AllowList.load(settings.secret_allow_list)
    )

    @cache
    def backend(name: str) -> AgentBackend:
        return BACKENDS.build(name, settings)

    return Services(
        settings=settings,
        store=store,
        submit_service=submit_service(settings),
        runner=SpawnStage(
            holder,
            mirrors,
            workspaces,
            backend,
            AgentExecutor(
                holder,
                mirrors,
                programs,
                EgressProxies(settings, new_id),
                settings,
                workspaces.prepare_spare,
            ),
            ChangeCapture(holder, programs, settings),
            saver,
            settings,
        ),
        gate_check=GateCheckStage(
            holder,
            mirrors,
            candidates,
            detectors(settings),
            gate_runner(settings),
            SecretFindings(candidates, scanner),
            Delivery(
                holder,
                mirrors,
                candidates,
                Remote(git),
                settings,
                Credentials(settings).forge_token,
                FORGES.build(settings.forge, settings) if settings.forge else None,
            ),
            chain,
            settings,
            Coordinator(settings.coordinator_url) if settings.coordinator_url else None,
        ),
        cleanup=Cleanup(holder, saver, candidates, settings.retention_s),
        rescuer=Rescuer(holder, settings.retention_s),
        audit=chain,
        kill_listener=KillListener(holder),
    )
