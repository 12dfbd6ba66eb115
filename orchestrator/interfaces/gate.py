"""The Protocol of a gate check, and the values of gates and detectors."""

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
    """The contents of a changed file before and after the change; None if the file is absent."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True)
class PlannedGate:
    """One command of one gate of a plan; without a command the gate is missing, `hint` says why.

    A gate with several commands has several entries of the same name, and all must pass.
    """

    name: str
    stage: Stage
    command: str | None
    timeout_s: float
    hint: str = ""
    report: str | None = None  # of coverage: the file that the command writes, in its folder
    minimum: float | None = None  # of coverage, in percent
    #: Whether the command may reach the allowed hosts through an egress proxy.
    network: bool = False
    script: str = ""  # the base's text of the script or recipe that the command runs, if known
    folder: str = ""  # the folder of the checkout in which the command runs; empty for the root
    source: str = ""  # the file of the base commit for which the command was chosen
    not_applicable: str = ""  # the reason of the configuration why the gate does not apply
    imports: tuple[str, ...] = ()  # the package's own modules, which Python finds in the checkout
    #: The begin of `command` that installs what an environment may contain already.
    prepare: str = ""


@dataclass(frozen=True)
class GateInput:
    """The input of a gate check: its own clean checkout of the candidate tree."""

    agent_id: str
    agent_type: AgentType
    checkout: Path
    work_items: tuple[str, ...]
    #: Reads the whole difference from the base commit, as a patch.
    diff: Callable[[], str]
    #: Runs a program in the sandbox, in the checkout: argv, extra environment, stdin, limit (s).
    run: Callable[[Sequence[str], Mapping[str, str], bytes, float], Completed]
    #: The access to the model for a gate that `asks_model`, as in `AgentJob`.
    model: ModelAccess | None = None


class Gate(Protocol):
    """One kind of gate check; its module exports `build(settings) -> Gate`."""

    #: Whether the check runs an agent, which needs access to its model.
    asks_model: bool

    def evaluate(self, gate: PlannedGate, subject: GateInput) -> GateResult:
        """Check the gate input; an error is a result that does not pass."""
        ...


@dataclass(frozen=True)
class GateCommand:
    """A gate's shell command, its report file, and the text of the script that it runs."""

    command: str
    report: str | None = None
    script: str = ""
    source: str = ""  # the file of the folder for which the command was chosen
    imports: tuple[str, ...] = ()  # as in PlannedGate
    prepare: str = ""  # as in PlannedGate
