"""What each gate runs, read from the base commit only: the agent cannot choose its own judge."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace

from orchestrator.errors import PlanInvalid
from orchestrator.gates.command_files import files_run
from orchestrator.gates.configuration import GateOptions, ReadFile, read_options
from orchestrator.gates.profiles import profiles
from orchestrator.interfaces.gate import Detector, GateCommand, PlannedGate
from orchestrator.models import GateProfile, Stage

#: What a hint shows for a gate that needs more than a command.
_EXAMPLES = {"coverage": '{command = "<command>", report = "<the file it writes>"}'}


@dataclass(frozen=True)
class Plan:
    """What will be run to judge one change."""

    profile: GateProfile
    gates: tuple[PlannedGate, ...]
    #: The files that the gates' commands run through make and npm.
    files: frozenset[str] = frozenset()

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of its gates."""
        return tuple(gate.command for gate in self.gates if gate.command)

    @property
    def digest(self) -> str:
        """The plan's identity: a verdict holds for one tree under one plan."""
        facts = [self.profile, [astuple(replace(gate, hint="")) for gate in self.gates]]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def of(self, stage: Stage) -> tuple[PlannedGate, ...]:
        """Return the gates of one stage."""
        return tuple(gate for gate in self.gates if gate.stage is stage)


def make_plan(
    profile: GateProfile,
    read: ReadFile,
    detectors: Sequence[Detector],
    *,
    gates: Iterable[str] = (),
    timeout_s: float,
) -> Plan:
    """Plan the gates of a profile for one base commit; `gates` are those of profile custom.

    What the repository configures wins over what the detectors find, gate by gate; of the
    detectors the first that knows a gate wins. A gate nobody knows how to run is in the plan
    without a command.

    Raises:
        PlanInvalid: the repository's configuration is malformed (file and key are named), or
            `gates` is empty or names one that does not exist.
    """
    names = _custom(gates) if profile is GateProfile.CUSTOM else profiles().profiles[profile]
    read = functools.cache(read)
    where, configured = read_options(read)
    detected: dict[str, GateCommand] = {}
    for detector in detectors:
        detected = {**detector.commands(read), **detected}
    plan = Plan(
        profile,
        tuple(
            _planned(
                name, configured.get(name, GateOptions()), detected.get(name), where, timeout_s
            )
            for name in names
        ),
    )
    return replace(plan, files=files_run(read, plan.commands))


def _custom(gates: Iterable[str]) -> tuple[str, ...]:
    known = profiles().gates
    asked = set(gates)
    if not asked or not asked <= known.keys():
        unknown = ", ".join(map(repr, sorted(asked - known.keys())))
        cause = f"there is no gate {unknown}, only" if asked else "profile custom needs some of"
        msg = f"gates: {cause} {', '.join(known)}."
        raise PlanInvalid(msg)
    return tuple(name for name in known if name in asked)


def _planned(
    name: str, options: GateOptions, found: GateCommand | None, where: str, timeout_s: float
) -> PlannedGate:
    kind = profiles().gates[name]
    if options.command is not None:
        script = ""
        if found and found.command.split()[-1] == options.command.split()[-1]:
            # `npm test` runs what `npm run --silent test` would.
            script = found.script
        found = GateCommand(options.command, script=script)
    return PlannedGate(
        name=name,
        stage=kind.stage,
        command=found.command if found else None,
        timeout_s=options.timeout or timeout_s,
        hint=_hint(name, where) if found is None and kind.command else "",
        report=options.report or (found.report if found else None),
        minimum=kind.minimum if options.minimum is None else options.minimum,
        network=options.network,
        script=found.script if found else "",
    )


def _hint(name: str, where: str) -> str:
    example = _EXAMPLES.get(name, '"<command>"')
    return f"The base commit says nowhere how to run {name}: add to its {where} {name} = {example}"
