"""Builds the services of a worker process, and the gate runner.

A worker of one queue imports the stage of that queue alone: the others take up to 25 MiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.audit.log import Audit
from orchestrator.control.submit import SubmitService
from orchestrator.interfaces.agent import AgentBackend
from orchestrator.interfaces.forge import Forge
from orchestrator.interfaces.gate import Gate
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.kill_listener import KillListener
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.messages import GATES_QUEUE, SPAWN_QUEUE
from orchestrator.plugins import Family
from orchestrator.secretscan.allowlist import AllowList
from orchestrator.settings import Settings
from orchestrator.signing import signing_key
from orchestrator.stages.cleanup import Cleanup
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
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Mirrors
from orchestrator.workspace.push import Remote

if TYPE_CHECKING:
    from orchestrator.environments.service import Environments
    from orchestrator.gates.planning import Planning
    from orchestrator.interfaces.sandbox import Sandbox
    from orchestrator.maintenance.work_saver import WorkSaver
    from orchestrator.stages.gate_check.gate_runner import GateRunner
    from orchestrator.stages.gate_check.stage import GateCheckStage
    from orchestrator.stages.spawn.stage import SpawnStage

CHECKS: Family[Gate] = Family("orchestrator.gates.checks")
FORGES: Family[Forge] = Family("orchestrator.forges")


@dataclass(frozen=True)
class Services:
    """The services of a worker process; a stage is imported and built at its first use."""

    settings: Settings
    store: Store
    audit: Audit
    holder: AgentLeases
    submit_service: SubmitService
    allow_list: AllowList

    def sweep(self, by: Sweeper = Sweeper.SCHEDULER) -> None:
        """Check every expired lease, and append the audit drafts since the last sweep."""
        self.rescuer.sweep(by)
        self.store.follow(self.audit.append_waiting())

    @cached_property
    def rescuer(self) -> Rescuer:
        """The service that recovers lost agents."""
        clock = server_clock(self.settings.valkey_url)
        return Rescuer(self.holder, self.settings.retention_s, clock.is_steady_for)

    @cached_property
    def kill_listener(self) -> KillListener:
        """The service that ends the agents of this process whose kill was ordered."""
        return KillListener(self.holder)

    @cached_property
    def cleanup(self) -> Cleanup:
        """The stage of the queue `cleanup`."""
        return Cleanup(self.holder, self._saver, self._candidates, self.settings.retention_s)

    @cached_property
    def runner(self) -> SpawnStage:
        """The stage of the queue `spawn`."""
        from orchestrator.egress.proxies import EgressProxies  # noqa: PLC0415 - see the module
        from orchestrator.stages.gate_check.base_check import BaseCheck  # noqa: PLC0415 - as above
        from orchestrator.stages.spawn.capture import ChangeCapture  # noqa: PLC0415 - as above
        from orchestrator.stages.spawn.environment import (  # noqa: PLC0415 - as above
            SpawnEnvironment,
        )
        from orchestrator.stages.spawn.executor import AgentExecutor  # noqa: PLC0415 - as above
        from orchestrator.stages.spawn.stage import SpawnStage  # noqa: PLC0415 - as above

        settings, holder = self.settings, self.holder
        base_check = BaseCheck(self._candidates, self._gate_runner)
        workspaces = Workspaces(settings, self._git)
        return SpawnStage(
            holder,
            self._mirrors,
            workspaces,
            cache(lambda name: _backend(name, settings)),
            AgentExecutor(
                holder,
                self._mirrors,
                self._programs,
                EgressProxies(settings, new_id),
                settings,
                SpawnEnvironment(holder, self._planning, self._prepared, settings, base_check.run),
                workspaces.prepare_spare,
            ),
            ChangeCapture(holder, self._programs, settings, self._prepared.products),
            self._saver,
            settings,
            remote=Remote(self._git),
        )

    @cached_property
    def gate_check(self) -> GateCheckStage:
        """The stage of the queue `gates`."""
        from orchestrator.gates.coordinator import Coordinator  # noqa: PLC0415 - see the module
        from orchestrator.secretscan.scanner import Scanner  # noqa: PLC0415 - as above
        from orchestrator.stages.gate_check.delivery import Delivery  # noqa: PLC0415 - as above
        from orchestrator.stages.gate_check.secrets import (  # noqa: PLC0415 - as above
            SecretFindings,
        )
        from orchestrator.stages.gate_check.stage import GateCheckStage  # noqa: PLC0415 - as above
        from orchestrator.workspace.credentials import Credentials  # noqa: PLC0415 - as above

        settings, holder = self.settings, self.holder
        scanner = Scanner(signing_key(settings, "secret-fingerprints"), self.allow_list)
        return GateCheckStage(
            holder,
            self._mirrors,
            self._candidates,
            self._planning,
            self._gate_runner,
            SecretFindings(self._candidates, scanner),
            Delivery(
                holder,
                self._mirrors,
                self._candidates,
                Remote(self._git),
                settings,
                Credentials(settings).forge_token,
                FORGES.build(settings.forge, settings) if settings.forge else None,
            ),
            self.audit,
            settings,
            self._prepared,
            Coordinator(settings.coordinator_url) if settings.coordinator_url else None,
        )

    @cached_property
    def _git(self) -> Git:
        return Git(self.settings)

    @cached_property
    def _mirrors(self) -> Mirrors:
        return Mirrors(self.settings, self._git)

    @cached_property
    def _candidates(self) -> Candidates:
        return Candidates(self.settings, self._git)

    @cached_property
    def _saver(self) -> WorkSaver:
        return work_saver(self.settings, self.store, worker=self.holder.worker)

    @cached_property
    def _programs(self) -> Sandbox:
        return sandbox(self.settings)

    @cached_property
    def _prepared(self) -> Environments:
        return environments(self.settings, self._programs)

    @cached_property
    def _gate_runner(self) -> GateRunner:
        return gate_runner(self.settings)

    @cached_property
    def _planning(self) -> Planning:
        from orchestrator.gates.planning import Planning  # noqa: PLC0415 - see the module
        from orchestrator.workspace.submodules import Submodules  # noqa: PLC0415 - as above

        settings = self.settings
        submodules = Submodules(settings, self._git)
        records = self._gate_runner.base_records
        return Planning(self._mirrors, detectors(settings), settings, submodules, records)


def _check_of(gate: str, *, settings: Settings) -> Gate:
    """Return the check with the name of the gate, otherwise the check for any command."""
    name = gate.replace("-", "_")
    return CHECKS.build(name if name in CHECKS.names() else "command", settings)


def mirrors(settings: Settings) -> Mirrors:
    """Build the mirrors of repositories."""
    return Mirrors(settings, Git(settings))


def gate_runner(settings: Settings, *, with_own_tools: bool = False) -> GateRunner:
    """Build the gate runner; see `GateRunner.with_own_tools`."""
    from orchestrator.egress.proxies import EgressProxies  # noqa: PLC0415 - see the module
    from orchestrator.stages.gate_check.gate_runner import GateRunner  # noqa: PLC0415 - as above

    checks = partial(_check_of, settings=settings)
    egress = EgressProxies(settings, new_id)
    return GateRunner(checks, sandbox(settings), egress, settings, with_own_tools)


def _backend(name: str, settings: Settings) -> AgentBackend:
    return BACKENDS.build(name, settings)


#: Queue → the modules of its stage.
_STAGES = {
    SPAWN_QUEUE: ("stages.spawn.stage", "stages.gate_check.base_check"),
    GATES_QUEUE: ("stages.gate_check.stage", "stages.gate_check.delivery", "secretscan.scanner"),
}


def load_stage(queue: str) -> None:
    """Import the stage of a queue, so that its first agent does not wait, and forks share it."""
    for module in _STAGES.get(queue, ()):
        import_module(f"orchestrator.{module}")


def build(settings: Settings, *, worker: str) -> Services:
    """Build the services of one worker process; connections open at first use."""
    settings = with_secrets(settings)
    store = Store(settings.valkey_url)
    holder = agent_leases(settings, store, worker=worker)
    return Services(
        settings,
        store,
        audit(settings),
        holder,
        submit_service(settings),
        # A malformed one ends the start of each worker, not the first check of a change.
        AllowList.load(settings.secret_allow_list),
    )
