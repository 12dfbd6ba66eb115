"""Builds the services of a worker process, and the gate runner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from orchestrator.audit.log import Audit
from orchestrator.control.submit import SubmitService
from orchestrator.egress.proxies import EgressProxies
from orchestrator.gates.coordinator import Coordinator
from orchestrator.gates.planning import Planning
from orchestrator.interfaces.agent import AgentBackend
from orchestrator.interfaces.forge import Forge
from orchestrator.interfaces.gate import Gate
from orchestrator.maintenance.kill_listener import KillListener
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.plugins import Family
from orchestrator.secretscan.allowlist import AllowList
from orchestrator.secretscan.scanner import Scanner
from orchestrator.settings import Settings
from orchestrator.signing import signing_key
from orchestrator.stages.cleanup import Cleanup
from orchestrator.stages.gate_check.base_check import BaseCheck
from orchestrator.stages.gate_check.delivery import Delivery
from orchestrator.stages.gate_check.gate_runner import GateRunner
from orchestrator.stages.gate_check.secrets import SecretFindings
from orchestrator.stages.gate_check.stage import GateCheckStage
from orchestrator.stages.spawn.capture import ChangeCapture
from orchestrator.stages.spawn.environment import SpawnEnvironment
from orchestrator.stages.spawn.executor import AgentExecutor
from orchestrator.stages.spawn.stage import SpawnStage
from orchestrator.store.client import Store
from orchestrator.store.sweeps import Sweeper
from orchestrator.wiring import BACKENDS, audit, new_id, submit_service, with_secrets
from orchestrator.wiring.host import (
    agent_leases,
    detectors,
    environments,
    sandbox,
    server_clock,
    work_saver,
)
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.credentials import Credentials
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Mirrors
from orchestrator.workspace.push import Remote
from orchestrator.workspace.submodules import Submodules

CHECKS: Family[Gate] = Family("orchestrator.gates.checks")
FORGES: Family[Forge] = Family("orchestrator.forges")


@dataclass(frozen=True)
class Services:
    """The services of a worker process."""

    settings: Settings
    store: Store
    submit_service: SubmitService
    runner: SpawnStage
    gate_check: GateCheckStage
    cleanup: Cleanup
    rescuer: Rescuer
    audit: Audit
    kill_listener: KillListener

    def sweep(self, by: Sweeper = Sweeper.SCHEDULER) -> None:
        """Check every expired lease, and append the audit drafts since the last sweep."""
        self.rescuer.sweep(by)
        self.store.follow(self.audit.append_waiting())


def _check_of(gate: str, *, settings: Settings) -> Gate:
    """Return the check with the name of the gate, otherwise the check for any command."""
    name = gate.replace("-", "_")
    return CHECKS.build(name if name in CHECKS.names() else "command", settings)


def mirrors(settings: Settings) -> Mirrors:
    """Build the mirrors of repositories."""
    return Mirrors(settings, Git(settings))


def gate_runner(settings: Settings, *, with_own_tools: bool = False) -> GateRunner:
    """Build the gate runner; see `GateRunner.with_own_tools`."""
    checks = partial(_check_of, settings=settings)
    egress = EgressProxies(settings, new_id)
    return GateRunner(checks, sandbox(settings), egress, settings, with_own_tools)


def build(settings: Settings, *, worker: str) -> Services:
    """Build the services of one worker process; connections open at first use."""
    settings = with_secrets(settings)
    store = Store(settings.valkey_url)
    holder = agent_leases(settings, store, worker=worker)
    chain = audit(settings)
    time_source = server_clock(settings.valkey_url)
    programs = sandbox(settings)
    git = Git(settings)
    mirrors = Mirrors(settings, git)
    workspaces = Workspaces(settings, git)
    candidates = Candidates(settings, git)
    saver = work_saver(settings, store, worker=worker)
    runner = gate_runner(settings)
    base_check = BaseCheck(candidates, runner)
    records = runner.base_records
    submodules = Submodules(settings, git)
    planning = Planning(mirrors, detectors(settings), settings, submodules, records)
    prepared = environments(settings, programs)
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
                SpawnEnvironment(holder, planning, prepared, settings, base_check.run),
                workspaces.prepare_spare,
            ),
            ChangeCapture(holder, programs, settings, prepared.products),
            saver,
            settings,
            remote=Remote(git),
        ),
        gate_check=GateCheckStage(
            holder,
            mirrors,
            candidates,
            planning,
            runner,
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
            prepared,
            Coordinator(settings.coordinator_url) if settings.coordinator_url else None,
        ),
        cleanup=Cleanup(holder, saver, candidates, settings.retention_s),
        rescuer=Rescuer(holder, settings.retention_s, time_source.is_steady_for),
        audit=chain,
        kill_listener=KillListener(holder),
    )
