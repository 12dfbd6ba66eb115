"""The commands of each gate, read from the base commit only: an agent cannot change them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import PurePosixPath

from orchestrator.errors import PlanInvalid
from orchestrator.gates.command_files import Steps, files_run
from orchestrator.gates.configuration import Configured, configured, is_settled
from orchestrator.gates.detection import BaseFiles, Detector
from orchestrator.gates.gate_files import is_source
from orchestrator.gates.packages import Survey, survey
from orchestrator.gates.profiles import profiles
from orchestrator.gates.reach import reached_files
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import GateCommand, PlannedGate
from orchestrator.models import GateProfile, NotJudged, Stage
from orchestrator.repo_config import ReadFile, RepoConfig, read_repo_config

#: The example in a hint for a gate that needs more than a command.
_EXAMPLES = {"coverage": '{command = "<command>", report = "<the file it writes>"}'}
#: Files that are programs; a change of one changes what a gate runs.
_PROGRAMS = frozenset({"noxfile.py", "Makefile.am"})
#: The limit keeps a report readable.
_MOST_NAMED = 50


@dataclass(frozen=True)
class Plan:
    """The gates and commands that check one change."""

    profile: GateProfile
    gates: tuple[PlannedGate, ...]
    #: The files that the gates' commands run, directly or through make and npm.
    files: frozenset[str] = frozenset()
    #: The sources of the base commit.
    sources: frozenset[str] = frozenset()
    #: The parts of the base commit that no gate checks.
    not_judged: tuple[NotJudged, ...] = ()
    #: The repository's policy for gates that fail on the base too; None: that of the operator.
    red_base: str | None = None

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of the plan's gates."""
        return tuple(gate.command for gate in self.gates if gate.command)

    @property
    def digest(self) -> str:
        """The id of the plan; a verdict is valid for one tree under one plan."""
        gates = [astuple(replace(gate, hint="", source="")) for gate in self.gates]
        facts = [self.profile, gates, *filter(None, [self.red_base])]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def within(self, environment: Environment | None) -> Plan:
        """Return the plan without the installations that the environment has done already."""
        products = environment.products if environment else ()
        return replace(
            self,
            gates=tuple(
                replace(gate, command=gate.command.removeprefix(gate.prepare), prepare="")
                if gate.command and f"{gate.folder}/node_modules".strip("/") in products
                else gate
                for gate in self.gates
            ),
        )

    def of(self, stage: Stage) -> tuple[PlannedGate, ...]:
        """Return the commands of the gates of one stage."""
        return tuple(gate for gate in self.gates if gate.stage is stage)


def chosen_profile(
    config: RepoConfig, asked: GateProfile | None, default: GateProfile
) -> GateProfile:
    """Return the profile of the request, else of the repository, else of the agent's type."""
    return asked or config.profile or default


def make_plan(
    profile: GateProfile,
    read: ReadFile,
    detectors: Sequence[Detector],
    *,
    paths: Collection[str],
    gates: Iterable[str] = (),
    timeout_s: float,
) -> Plan:
    """Plan the gates of a profile for one base commit, whose files are `paths`.

    `gates` are those of the profile custom; without any, the gates that the repository configures.
    For each gate the configuration of the repository takes precedence over the detectors. Each
    package found has its own command. A gate without a known command is in the plan without one.

    Raises:
        RepoConfigInvalid: the repository's configuration is malformed; file and key are named.
        PlanInvalid: `gates` is empty or names one that does not exist.
    """
    read = functools.cache(read)
    config = read_repo_config(read)
    if profile is GateProfile.CUSTOM:
        names = _custom(tuple(gates) or config.gates.named)
    else:
        names = profiles().profiles[profile]
    files = BaseFiles(read, paths)
    found = survey(files, detectors)
    planned = [gate for name in names for gate in _gates(name, config, found, timeout_s=timeout_s)]
    return Plan(
        profile,
        tuple(planned),
        files=frozenset(_files_run(files, planned)),
        sources=frozenset(filter(is_source, paths)),
        not_judged=tuple(_not_judged(names, config, found)),
        red_base=config.gates.red_base,
    )


def _custom(asked: Collection[str]) -> tuple[str, ...]:
    known = profiles().gates
    unknown = set(asked) - known.keys()
    if not asked or unknown:
        cause = (
            f"there is no gate {', '.join(map(repr, sorted(unknown)))}, only"
            if unknown
            else "profile custom needs some of"
        )
        msg = f"gates: {cause} {', '.join(known)}."
        raise PlanInvalid(msg)
    return tuple(name for name in known if name in asked)


def _gates(
    name: str, config: RepoConfig, found: Survey, *, timeout_s: float
) -> Iterator[PlannedGate]:
    """Yield the commands of one gate: the configured ones, else those of every package."""
    entries = configured(config, name)
    kind = profiles().gates[name]
    gate = PlannedGate(name, kind.stage, None, timeout_s, minimum=kind.minimum)
    if is_settled(entries):
        yield from (_configured(gate, entry, found) for entry in entries)
        return
    for entry in entries:
        gate = _with_options(gate, entry)
    detected = [_with_command(gate, folder, command) for folder, command in found.of(name)]
    blocking = [entry for entry in found.not_judged if entry.blocks and entry.gate == name]
    where = config.location("gates")
    if blocking or not detected:
        hint = _hint(name, where, blocking) if kind.command else ""
        yield replace(gate, hint=hint)
    yield from detected


def _configured(gate: PlannedGate, entry: Configured, found: Survey) -> PlannedGate:
    gate = _with_options(gate, entry)
    if entry.command is None:
        return replace(gate, not_applicable=entry.not_applicable)
    last = entry.command.command.split()[-1]
    beside = [command for folder, command in found.of(gate.name) if folder == entry.folder]
    # `npm test` runs the same script as `npm run --silent test`.
    scripts = [command.script for command in beside if command.command.split()[-1] == last]
    imports = tuple(name for command in beside for name in command.imports)
    command = replace(entry.command, script=(scripts or [""])[0], imports=imports)
    return replace(_with_command(gate, entry.folder, command), source=command.source)


def _with_options(gate: PlannedGate, entry: Configured) -> PlannedGate:
    return replace(
        gate,
        timeout_s=entry.timeout_s or gate.timeout_s,
        minimum=gate.minimum if entry.minimum is None else entry.minimum,
        network=entry.network,
        report=entry.report,
    )


def _with_command(gate: PlannedGate, folder: str, command: GateCommand) -> PlannedGate:
    return replace(
        gate,
        command=command.command,
        folder=folder,
        report=gate.report or command.report,
        script=command.script,
        imports=command.imports,
        prepare=command.prepare,
        source=f"{folder}/{command.source}" if folder else command.source,
    )


def _hint(name: str, where: str, blocking: Sequence[NotJudged]) -> str:
    example = _EXAMPLES.get(name, '"<command>"')
    lack = "; ".join(f"{entry.path}: {entry.reason}" for entry in blocking[:_MOST_NAMED])
    reason = (
        f"No gate can check a package of the base commit ({lack})"
        if lack
        else f"The base commit says nowhere how to run {name}"
    )
    line = f"{reason}: add to its {where} {name} = {example}"
    if lack:
        # A package with tests has something to check.
        return line
    return f'{line}, or {name} = {{not_applicable = "<reason>"}} if there is nothing to check'


def _files_run(files: BaseFiles, gates: Iterable[PlannedGate]) -> Iterator[str]:
    """Yield the files that commands run, relative to the root of the repository."""
    gates = tuple(gates)
    by_folder: dict[str, list[str]] = {}
    for gate in gates:
        if gate.command:
            by_folder.setdefault(gate.folder, []).append(gate.command)
        if PurePosixPath(gate.source).name in _PROGRAMS:
            yield gate.source
    for folder, texts in by_folder.items():
        run = files_run(files.below(folder).read, texts)
        if folder:
            run |= Steps(texts).files
        yield from (str(PurePosixPath(folder, path)) for path in run)
    commands = [(gate.folder, gate.command) for gate in gates if gate.command]
    yield from reached_files(files.read, files.paths, commands)


def _not_judged(names: Sequence[str], config: RepoConfig, found: Survey) -> Iterator[NotJudged]:
    """Yield the parts that none of these gates checks; configured gates are skipped."""
    open_gates = [name for name in names if not is_settled(configured(config, name))]
    entries = [
        entry for entry in found.not_judged if entry.gate is None or entry.gate in open_gates
    ]
    entries += [entry for name in open_gates for entry in found.left_out(name)]
    yield from entries[:_MOST_NAMED]
    if len(entries) > _MOST_NAMED:
        yield NotJudged(path="", reason=f"and {len(entries) - _MOST_NAMED} more, not named here")
