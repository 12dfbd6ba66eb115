"""Runs each gate of a plan once on an untouched commit, and says who must act if one fails."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.cli.local.gate_plans import image_lack
from orchestrator.environments.service import Borrower
from orchestrator.errors import EnvironmentFailed
from orchestrator.gates.faults import PlanFault
from orchestrator.gates.plan import Plan
from orchestrator.gates.planning import Tools, faults_here
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import GateProfile, GateResult, GateStatus
from orchestrator.repo_config import EnvironmentConfig, read_repo_config
from orchestrator.settings import Settings
from orchestrator.stages.gate_check.base_check import untouched_run
from orchestrator.stages.gate_check.gate_runner import GateRun
from orchestrator.stages.gate_check.red_base import RED_ON_BASE
from orchestrator.wiring import host as wiring_host
from orchestrator.wiring import worker as wiring
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base

#: The output of a command that lacks a program, a package, or the network of this host.
_OF_THE_HOST = re.compile(
    r"No module named|ModuleNotFoundError|Cannot find (?:module|package)|command not found"
    r"|: not found|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|[Nn]ame resolution|Could not resolve host"
    r"|Network is unreachable|dial tcp|not installed"
)


@dataclass(frozen=True)
class TrialGate:
    """One gate of a plan, its commands, and how it ended on the untouched commit."""

    name: str
    commands: tuple[PlannedGate, ...]
    #: None: the gate was not run.
    result: GateResult | None

    @property
    def has_passed(self) -> bool:
        """Whether an agent that changes nothing would pass this gate."""
        return self.result is not None and self.result.status.is_pass

    @property
    def is_red(self) -> bool:
        """Whether it fails, and changes can be compared with its failures."""
        return self.result is not None and self.result.status is GateStatus.RED_BEFORE

    @property
    def advice(self) -> str:
        """What to do before the gate can pass; empty if there is nothing to do."""
        return {"repository": "fix the repository", "host": "fix this host", "": ""}[self.turn]

    @property
    def turn(self) -> Literal["repository", "host", ""]:
        """What must change before the gate can pass; empty if it passes or is unknown."""
        result = self.result
        if result is None or result.status.is_pass:
            return ""
        is_red = result.status is GateStatus.FAILED or result.detail.startswith(RED_ON_BASE)
        if is_red:
            return "host" if _OF_THE_HOST.search(result.detail) else "repository"
        return "host" if result.status is GateStatus.ERRORED else "repository"


@dataclass(frozen=True)
class Trial:
    """A plan in the environment of an untouched commit."""

    plan: Plan
    faults: tuple[PlanFault, ...]
    #: The commit on which the gates run; None if none runs.
    case: GateRun | None = None
    #: Why the environment could not be set up: no gate can run without it.
    lack: str = ""

    def gates(self, settings: Settings, *, on_start: Callable[[str], None]) -> Iterator[TrialGate]:
        """Run the gates one after another, as the gates pool would; yield each.

        A gate that fails runs twice more, to find whether changes can be compared with its
        failures. A gate that is known to be unable to pass is not run, and no gate that asks a
        model is.
        """
        known = {fault.gate: fault for fault in reversed(self.faults)}
        case = self.case
        runner = wiring.gate_runner(settings) if case else None
        for name in dict.fromkeys(gate.name for gate in self.plan.gates):
            gates = tuple(gate for gate in self.plan.gates if gate.name == name)
            commands = tuple(gate for gate in gates if gate.command)
            if fault := known.get(name):
                yield TrialGate(name, commands, fault.result)
            elif not commands and not any(gate.not_applicable for gate in gates):
                yield TrialGate(name, (), None)
            elif case is None or runner is None:
                yield TrialGate(name, commands, None)
            else:
                on_start(name)
                # No profile adds a run of its own.
                plan = replace(
                    self.plan, gates=gates, profile=GateProfile.CUSTOM, red_base="compare"
                )
                (report,) = runner.run(plan, case)
                yield TrialGate(name, commands, report.gates[0])


@contextmanager
def trial(
    settings: Settings,
    plan: Plan,
    base: Base,
    *,
    runs: bool,
    say: Callable[[str], None],
    environment: EnvironmentConfig | None = None,
) -> Iterator[Trial]:
    """Set the environment of a base up, and yield the trial of a plan on it.

    `base` is a commit of a user's repository, which is only read. Uncommitted work is no part of
    it, as it is no part of what an agent starts from. `environment` replaces the committed table.

    Raises:
        RepoConfigInvalid: the configuration of the base commit is malformed.
        DiskFull: the disk is full; the rest of the set-up is removed.
        GitFailed: git cannot read the commit.
    """
    environments = wiring_host.environments(settings, wiring_host.sandbox(settings))
    if environment is not None:
        given = {"environment": environment}
        environments = replace(
            environments, read_config=lambda read: read_repo_config(read).model_copy(update=given)
        )
    if not runs:
        tools = Tools(pending=environments.kinds(base))
        lack = image_lack(settings, environments.image(base))
        yield Trial(plan, faults_here(plan, settings, tools), lack=lack)
        return
    # Two trials may run at once from one home.
    borrower = Borrower(f"init-{uuid.uuid4().hex}", 0, check=lambda: None, say=say)
    candidates = Candidates(settings, Git(settings))
    with (
        candidates.of_base(base, borrower.agent_id, borrower.attempt) as candidate,
        ExitStack() as held,
    ):
        try:
            found = held.enter_context(environments.held(base, borrower))
        except EnvironmentFailed as error:
            tried = Trial(plan, (), lack=f"{error.detail} {error.what_to_do}")
        else:
            within = plan.within(found)
            faults = faults_here(within, settings, Tools(found))
            case = untouched_run(candidates, candidate, base, found, borrower)
            tried = Trial(within, faults, case)
        yield tried
