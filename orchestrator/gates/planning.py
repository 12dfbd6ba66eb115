"""The plan of an agent's gates, made from its base commit, and whether this host can run it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from orchestrator.gates.base_records import BaseRecord, BaseRecords
from orchestrator.gates.detection import Detector
from orchestrator.gates.faults import PlanFault, plan_faults
from orchestrator.gates.plan import Plan, chosen_profile, make_plan
from orchestrator.host.environment import host_environment
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import (
    AgentState,
    GateProfile,
    GateReport,
    NotJudged,
    SpawnRequest,
)
from orchestrator.repo_config import CONFIG_FILES, read_repo_config
from orchestrator.settings import Settings
from orchestrator.workspace.host_program import run_program
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.submodules import Submodules

#: The number of cached plans, each for one base commit and profile.
_MOST_KEPT = 64
_PROBE_S = 20.0
#: The ecosystems whose set-up may install any program, and the programs that npm may install.
_ANY_PROGRAM = frozenset({"python", "configured"})
_PACKAGE_MANAGERS = frozenset({"pnpm", "yarn", "bun"})


@dataclass(frozen=True)
class Planning:
    """Makes plans, and finds plans that cannot approve any change."""

    mirrors: Mirrors
    detectors: Sequence[Detector]
    settings: Settings
    submodules: Submodules
    #: The runs on base commits that this host remembers.
    records: BaseRecords
    _plans: dict[tuple[object, ...], Plan] = field(default_factory=dict)
    #: The modules that the host's `python3` has; if one is removed later, its gate reports that.
    _found_modules: set[str] = field(default_factory=set)

    def profile(self, request: SpawnRequest, base: Base) -> GateProfile:
        """Return the profile of a request, or the repository's own profile if it names none.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        if request.gate_profile is not None:
            return request.gate_profile
        config = read_repo_config(self.mirrors.read_some(base, CONFIG_FILES).get)
        return chosen_profile(config, None, request.profile)

    def with_profile(
        self, agent: AgentState, request: SpawnRequest, base: Base, holder: AgentLeases
    ) -> AgentState:
        """Return the agent with its profile, which is written to its state.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        profile = self.profile(request, base)
        if profile is agent.gate_profile:
            return agent
        return holder.update(agent, {"gateProfile": profile})

    def plan(self, request: SpawnRequest, base: Base) -> Plan:
        """Return the plan of a request's gates for a base commit.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        profile = self.profile(request, base)
        key = (base.mirror, base.commit, profile, request.gates)
        if key not in self._plans:
            while len(self._plans) >= _MOST_KEPT:
                self._plans.pop(next(iter(self._plans)), None)
            paths = self.mirrors.paths(base)
            plan = make_plan(
                profile,
                lambda path: self.mirrors.read(base, path) if path in paths else None,
                self.detectors,
                paths=paths,
                gates=request.gates,
                timeout_s=self.settings.gate_timeout_s,
            )
            self._plans[key] = replace(
                plan, not_judged=(*plan.not_judged, *self._without_content(base))
            )
        return self._plans[key]

    def _without_content(self, base: Base) -> Iterator[NotJudged]:
        """Yield the submodules of a base commit that are empty folders in every checkout."""
        for one in self.submodules.without_content(base):
            reason = f"a submodule whose content is not present: {one.reason}"
            yield NotJudged(path=one.path, reason=reason)

    def faults(
        self, request: SpawnRequest, base: Base, tools: Tools | None = None
    ) -> tuple[PlanFault, ...]:
        """Return why no change of an agent could be approved; empty if the check is off.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        if self.settings.plan_check == "off" or self.settings.yolo_mode:
            return ()
        tools = tools or Tools()
        plan = self.plan(request, base).within(tools.environment)
        faults = faults_here(plan, self.settings, tools, self._found_modules)
        return faults if faults or tools.pending else tuple(self._known_faults(plan, base, tools))

    def _known_faults(self, plan: Plan, base: Base, tools: Tools) -> Iterator[PlanFault]:
        """Yield the gates of which this host remembers that they cannot run on the base."""
        for gate, record in self._remembered(plan, base, tools.environment):
            if record.cannot_run:
                headline = record.looks[-1].headline
                detail = f"`{gate.command}` cannot run on the base commit: {headline}"
                yield PlanFault(gate.name, detail, "host")

    def red_gates(self, plan: Plan, base: Base, environment: Environment | None) -> Iterator[str]:
        """Yield a line for each gate of which this host remembers that it fails on the base."""
        for gate, record in self._remembered(plan, base, environment):
            if record.is_red:
                policy = plan.red_base or self.settings.red_base
                yield (
                    f"gate {gate.name} is red on the base commit ({record.looks[-1].headline});"
                    f" policy for failures that were there before: {policy}"
                )

    def _remembered(
        self, plan: Plan, base: Base, environment: Environment | None
    ) -> Iterator[tuple[PlannedGate, BaseRecord]]:
        """Yield each gate that this host remembers to have run on the base, with its runs."""
        records = self.records.of_one_run()
        for gate in plan.gates:
            if record := records.find(base.commit, gate, environment):
                yield gate, record

    def report(
        self, agent: AgentState, request: SpawnRequest, base: Base, faults: Sequence[PlanFault]
    ) -> GateReport:
        """Return the report of a refused agent: each gate that cannot pass, and the reason."""
        plan = self.plan(request, base)
        return GateReport(
            agent_id=agent.agent_id,
            attempt=agent.attempt,
            stage=next(gate.stage for gate in plan.gates if gate.name == faults[0].gate),
            profile=plan.profile,
            # No change exists yet, so the report names the base itself.
            tree=base.commit,
            plan_digest=plan.digest,
            approved=False,
            gates=tuple(fault.result for fault in faults),
            not_judged=plan.not_judged,
        )


@dataclass(frozen=True)
class Tools:
    """The programs that the gates of a base commit find beside those of the host."""

    environment: Environment | None = None
    #: The ecosystems of an environment that is still to be set up.
    pending: frozenset[str] = frozenset()

    def may_come(self, program: str) -> bool:
        """Return whether the set-up of the pending environment may install a program."""
        is_open = bool(self.pending & _ANY_PROGRAM)
        return is_open or ("node" in self.pending and program in _PACKAGE_MANAGERS)


def faults_here(
    plan: Plan, settings: Settings, tools: Tools, found: set[str] | None = None
) -> tuple[PlanFault, ...]:
    """Return why a plan cannot approve any change on this host.

    If gates run in an image, only faults of the repository are known. What a pending environment
    may install is no fault. `found` remembers the modules that the host's `python3` has.
    """
    if settings.sandbox_enabled:
        return plan_faults(plan, which=lambda program: program)
    environment = host_environment(settings)
    installed = tools.environment
    folders = installed.path if installed else ()
    path = os.pathsep.join((*folders, environment.get("PATH", os.defpath)))

    @cache
    def has_module(name: str) -> bool:
        if "python" in tools.pending:
            return True
        if installed and "VIRTUAL_ENV" in installed.variables:
            # No program of the repository's environment runs outside a sandbox.
            return name in sys.stdlib_module_names or _is_installed(installed, name)
        return _has_module(name.partition(".")[0], environment, found)

    def which(program: str) -> str | None:
        return program if tools.may_come(program) else shutil.which(program, path=path)

    is_set_up = installed is not None
    return plan_faults(plan, which=which, has_module=has_module, is_set_up=is_set_up)


def _has_module(name: str, environment: Mapping[str, str], found: set[str] | None) -> bool:
    """Return whether the host's `python3` has a module; one that it lacks is searched again."""
    if found is not None and name in found:
        return True
    code = "import sys, importlib.util as u; sys.exit(not u.find_spec(sys.argv[1]))"
    try:
        ended = run_program(("python3", "-c", code, name), env=environment, timeout_s=_PROBE_S)
    except (OSError, TimeoutError):
        # Nothing is known here; the gate itself reports the fault.
        return True
    if found is not None and ended.exit_code == 0:
        found.add(name)
    return ended.exit_code != 1


def _is_installed(environment: Environment, name: str) -> bool:
    top = name.partition(".")[0]
    folders = Path(environment.variables["VIRTUAL_ENV"], "lib").glob("python*/site-packages")
    return any((at / top).is_dir() or (at / f"{top}.py").is_file() for at in folders)


def worded(faults: Sequence[PlanFault]) -> str:
    """Return faults in one line: what to fix, in the repository or on this host, and why."""
    return " ".join(f"{fault.gate} (fix the {fault.fix_in}): {fault.detail}." for fault in faults)
