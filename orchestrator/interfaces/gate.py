"""The Protocols of gate checks and detectors, and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.interfaces.agent import (
    ModelAccess,
)
from orchestrator.interfaces.run import Completed
from orchestrator.models import AgentType, GateResult, Stage


@dataclass(frozen=True)
class FileChange:
    """A file that differs from the base commit, before and after; None where it is absent."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True)
class PlannedGate:
    """One command of one gate of a plan; without a command the gate is missing, as `hint` says.

    A plan has several of the same name where a gate has several commands: all must pass.
    """

    name: str
    stage: Stage
    command: str | None
    timeout_s: float
    hint: str = ""
    report: str | None = None  # of coverage; the command leaves it, relative to its folder
    minimum: float | None = None  # of coverage, in percent
    #: Whether its command may reach the allowed hosts, where it has no network otherwise.
    network: bool = False
    script: str = ""  # the base's text of the script or recipe that the command runs, where known
    folder: str = ""  # of the checkout, which the command runs in; empty for the root
    source: str = ""  # the file of the base commit for which the command was chosen
    not_applicable: str = ""  # why it does not apply, where the repository's configuration says so
    imports: tuple[str, ...] = ()  # the package's own modules, which Python finds in the checkout


@dataclass(frozen=True)
class GateInput:
    """What a gate judges: one clean checkout of the candidate tree, this gate's own."""

    agent_id: str
    agent_type: AgentType
    checkout: Path
    work_items: tuple[str, ...]
    #: The candidate's difference from the base commit, as a patch, all of it; read when called.
    diff: Callable[[], str]
    #: Runs a program in the sandbox, in the checkout: argv, extra environment, stdin, limit (s).
    run: Callable[[Sequence[str], Mapping[str, str], bytes, float], Completed]
    #: For a gate that `asks_model`, as in `AgentJob`.
    model: ModelAccess | None = None


class Gate(Protocol):
    """One kind of check; one file, exporting `build(settings) -> Gate`."""

    #: Whether it runs an agent, which needs its model.
    asks_model: bool

    def evaluate(self, gate: PlannedGate, subject: GateInput) -> GateResult:
        """Judge the subject; whatever goes wrong is a result, never a pass."""
        ...


@dataclass(frozen=True)
class GateCommand:
    """A gate's shell command, its report in the folder, and the text of a script that it runs."""

    command: str
    report: str | None = None
    script: str = ""
    source: str = ""  # the file of the folder for which it was chosen
    imports: tuple[str, ...] = ()  # as in PlannedGate
