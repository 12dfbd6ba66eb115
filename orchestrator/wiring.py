"""The composition root: settings become services, and nothing is built anywhere else."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial

from orchestrator.access import Keyring
from orchestrator.audit import Audit
from orchestrator.budget import Budget
from orchestrator.cleanup import Cleanup
from orchestrator.deliver import Delivery
from orchestrator.egress.service import Egress
from orchestrator.fsck import Fsck
from orchestrator.gatecheck import GateCheck
from orchestrator.gates.coordinator import Coordinator
from orchestrator.gates.detectors import ordered
from orchestrator.harvest import Harvest
from orchestrator.host import Host, RunsElsewhere, process_mark, system_mark
from orchestrator.janitor import Janitor, KillListener
from orchestrator.judgement import Judge
from orchestrator.killswitch import KillSwitch
from orchestrator.leaks import Leaks
from orchestrator.lifecycle.holder import Holder
from orchestrator.monitor import Monitor
from orchestrator.pausing import QueueSwitch
from orchestrator.play import Play
from orchestrator.plugins import Family
from orchestrator.ports import AgentBackend, Detector, Forge, Gate, Sandbox
from orchestrator.runner import Runner
from orchestrator.secretscan.allow import AllowList
from orchestrator.secretscan.scanner import Scanner
from orchestrator.settings import Settings
from orchestrator.signing import signing_key
from orchestrator.store.executors import Store
from orchestrator.submit import FrontDoor
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.credentials import Credentials
from orchestrator.workspace.git import Git
from orchestrator.workspace.leftovers import Leftovers
from orchestrator.workspace.mirror import Mirrors
from orchestrator.workspace.push import Remote

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
    front_door: FrontDoor
    runner: Runner
    gate_check: GateCheck
    cleanup: Cleanup
    monitor: Monitor
    audit: Audit
    kill_listener: KillListener


def clock() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make a new id."""
    return str(uuid.uuid4())


def front_door(settings: Settings) -> FrontDoor:
    """Build the front door of this system."""
    return FrontDoor(
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


def keyring(settings: Settings) -> Keyring:
    """Build what knows who may ask."""
    key = settings.api_key.get_secret_value().encode() if settings.api_key else None
    # Another name than loopback's is a proxy's, behind which everyone is local.
    asks = bool(settings.allowed_hosts)
    return Keyring(audit(settings), clock, key, settings.spawn_rate, always_asks=asks)


def queue_switch(settings: Settings) -> QueueSwitch:
    """Build what pauses and resumes queues."""
    return QueueSwitch(audit(settings), clock)


def budget(settings: Settings) -> Budget:
    """Build what reads and changes the budget."""
    return Budget(settings, clock, audit(settings).append)


def janitor(settings: Settings, *, worker: str) -> Janitor:
    """Build what keeps the host of this worker clean."""
    store = Store(settings.valkey_url)
    git = Git(settings)
    leftovers = Leftovers(
        Workspaces(settings, git),
        Candidates(settings, git),
        (settings.workspaces_dir, settings.home / "candidates"),
    )
    return Janitor(store, host(settings), worker.partition("@")[2], leftovers)


def fsck(settings: Settings, store: Store) -> Fsck:
    """Build what compares Valkey and this host."""
    home = settings.home
    return Fsck(store, host(settings), home, settings.workspaces_dir, clock, new_id)


def _check_of(gate: str, *, settings: Settings) -> Gate:
    """Return the check that judges a gate: the one named like it, else that of any command."""
    name = gate.replace("-", "_")
    return CHECKS.build(name if name in CHECKS.names() else "command", settings)


def detectors(settings: Settings) -> tuple[Detector, ...]:
    """Build every detector, in the order in which they are asked."""
    return tuple(DETECTORS.build(name, settings) for name in ordered(DETECTORS.names()))


def judge(settings: Settings) -> Judge:
    """Build what runs gates."""
    checks = partial(_check_of, settings=settings)
    return Judge(checks, sandbox(settings), Egress(settings, new_id), settings)


def sandbox(settings: Settings) -> Sandbox:
    """Build where programs of agents and gates run."""
    return SANDBOXES.build("docker" if settings.sandbox_enabled else "process", settings)


def host(settings: Settings) -> Host:
    """Build what finds and ends the programs of agents on this host."""
    # Not the process sandbox, which would be probed for nothing: its programs are marked.
    programs = sandbox(settings) if settings.sandbox_enabled else None
    return Host(settings.home, programs if isinstance(programs, RunsElsewhere) else None)


def build(settings: Settings, *, worker: str) -> Services:
    """Build the services of one worker process; connections open at first use."""
    store = Store(settings.valkey_url)
    holder = Holder(
        store,
        clock,
        new_id,
        worker=worker,
        lease_s=settings.lease_s,
        process=process_mark(os.getpid()),
        system=system_mark(settings.home),
    )
    chain = audit(settings)
    programs = sandbox(settings)
    git = Git(settings)
    mirrors = Mirrors(settings, git)
    workspaces = Workspaces(settings, git)
    candidates = Candidates(settings, git)
    scanner = Scanner(
        signing_key(settings, "secret-fingerprints"), AllowList.load(settings.secret_allow_list)
    )

    @cache
    def backend(name: str) -> AgentBackend:
        return BACKENDS.build(name, settings)

    return Services(
        settings=settings,
        store=store,
        front_door=front_door(settings),
        runner=Runner(
            holder,
            mirrors,
            workspaces,
            backend,
            Play(
                holder,
                mirrors,
                programs,
                budget(settings),
                Egress(settings, new_id),
                settings,
                workspaces.prepare_spare,
            ),
            Harvest(holder, programs, settings),
            settings,
        ),
        gate_check=GateCheck(
            holder,
            mirrors,
            candidates,
            detectors(settings),
            judge(settings),
            Leaks(candidates, scanner),
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
        cleanup=Cleanup(holder, workspaces, candidates, settings.retention_s),
        monitor=Monitor(holder, settings.retention_s),
        audit=chain,
        kill_listener=KillListener(holder),
    )
