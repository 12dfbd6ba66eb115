"""Runs each gate of a plan once on an untouched commit, and says who must act if one fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from orchestrator.environments.service import Borrower
from orchestrator.errors import EnvironmentFailed
from orchestrator.gates.faults import PlanFault
from orchestrator.gates.plan import Plan
from orchestrator.gates.planning import Tools, faults_here
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import AgentType, GateResult, GateStatus
from orchestrator.settings import Settings
from orchestrator.stages.gate_check.gate_runner import GateRun
from orchestrator.wiring import host as wiring_host
from orchestrator.wiring import worker as wiring
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.git import Git

#: The agent id of a run without an agent.
_NOBODY = "init"
#: The output of a command that lacks a program, a package, or the network of this host.
_OF_THE_HOST = re.compile(
    r"No module named|ModuleNotFoundError|Cannot find (?:module|package)|command not found"
    r"|: not found|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|[Nn]ame resolution|Could not resolve host"
    r"|Network is unreachable|dial tcp|not installed"
)
_STATUS = {"repository": GateStatus.MISSING, "host": GateStatus.ERRORED}


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
    def turn(self) -> Literal["repository", "host", ""]:
        """What must change before the gate can pass; empty if it passes or is unknown."""
        result = self.result
        if result is None or result.status.is_pass:
            return ""
        if result.status is GateStatus.ERRORED:
            return "host"
        if result.status is GateStatus.FAILED and _OF_THE_HOST.search(result.detail):
            return "host"
        return "repository"


@dataclass(frozen=True)
class Ready:
    """A plan whose gates can run in the repository's environment."""

    plan: Plan
    faults: tuple[PlanFault, ...]
    environment: Environment | None
    #: Whether the gates run.
    runs: bool
    #: Why the environment could not be set up: no gate can run without it.
    lack: str = ""


@contextmanager
def set_up(
    settings: Settings,
    plan: Plan,
    candidate: Candidate,
    *,
    runs: bool,
    say: Callable[[str], None],
) -> Iterator[Ready]:
    """Set the environment of a candidate's base up, and yield the plan within it.

    Raises:
        RepoConfigInvalid: the configuration of the base commit is malformed.
        DiskFull: the disk is full; the rest of the set-up is removed.
    """
    environments = wiring_host.environments(settings, wiring_host.sandbox(settings))
    base = candidate.base
    if base is None or not runs:
        kinds = environments.kinds(base) if base else frozenset()
        yield Ready(plan, faults_here(plan, settings, Tools(pending=kinds)), None, runs)
        return
    borrower = Borrower(_NOBODY, 0, check=lambda: None, say=say)
    with ExitStack() as held:
        try:
            environment = held.enter_context(environments.held(base, borrower))
        except EnvironmentFailed as error:
            ready = Ready(plan, (), None, runs=False, lack=f"{error} {error.action}")
        else:
            within = plan.within(environment)
            faults = faults_here(within, settings, Tools(environment))
            ready = Ready(within, faults, environment, runs)
        yield ready


def trial(
    settings: Settings, ready: Ready, candidate: Candidate, *, on_start: Callable[[str], None]
) -> Iterator[TrialGate]:
    """Run the gates of a plan one after another, as the gates pool would; yield each.

    A gate that is known to be unable to pass is not run, and no gate that asks a model is.
    """
    plan = ready.plan
    known = {fault.gate: fault for fault in reversed(ready.faults)}
    runner = wiring.gate_runner(settings) if ready.runs else None
    candidates = Candidates(settings, Git(settings))
    case = GateRun(
        agent_id=_NOBODY,
        attempt=0,
        agent_type=AgentType.WORKER,
        work_items=(),
        tree=candidate.tree,
        contents=tuple,
        diff=str,
        checkout=partial(candidates.checked_out, candidate),
        environment=ready.environment,
        readable=tuple(
            folder / "objects" for folder in (candidate.git_dir, _base_dir(candidate))
        ),
    )  # fmt: skip
    for name in dict.fromkeys(gate.name for gate in plan.gates):
        gates = tuple(gate for gate in plan.gates if gate.name == name)
        commands = tuple(gate for gate in gates if gate.command)
        if fault := known.get(name):
            status = _STATUS[fault.fix_in]
            yield TrialGate(
                name, commands, GateResult(name=name, status=status, detail=fault.detail)
            )
        elif not commands and not any(gate.not_applicable for gate in gates):
            yield TrialGate(name, (), None)
        elif runner is None:
            yield TrialGate(name, commands, None)
        else:
            on_start(name)
            (report,) = runner.run(replace(plan, gates=gates), case)
            yield TrialGate(name, commands, report.gates[0])


def _base_dir(candidate: Candidate) -> Path:
    return candidate.base.mirror if candidate.base else candidate.git_dir
