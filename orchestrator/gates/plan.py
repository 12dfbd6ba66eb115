"""What each gate runs, read from the base commit only: the agent cannot choose its own judge."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from orchestrator.errors import PlanInvalid
from orchestrator.models import GateProfile, Stage, faults_of
from orchestrator.ports import Detector, GateCommand, PlannedGate
from orchestrator.settings import parse_duration

#: Reads a file of the base commit; None where there is none.
ReadFile = Callable[[str], bytes | None]

#: Every gate there is.
GATES = ("typecheck", "lint", "tests", "coverage", "build", "integration", "ai-review")
#: The gates enforced so far, whatever the profile.
ENFORCED = ("tests",)
#: Where a repository may say what its gates run; the first file that has the table wins.
SOURCES = (("pyproject.toml", ("tool", "orchestrator", "gates")), ("orchestrator.toml", ("gates",)))


def _as_table(value: object) -> object:
    return {"command": value} if isinstance(value, str) else value


class GateOptions(BaseModel):
    """One entry of the repository's own configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    timeout: Annotated[float, BeforeValidator(parse_duration)] | None = None
    report: str | None = None
    minimum: Annotated[float, Field(ge=0, le=100)] | None = None


@dataclass(frozen=True)
class Plan:
    """What will be run to judge one change."""

    profile: GateProfile
    gates: tuple[PlannedGate, ...]

    @property
    def digest(self) -> str:
        """The plan's identity: a verdict holds for one tree under one plan."""
        facts = [self.profile, [(gate.name, gate.command, gate.timeout_s) for gate in self.gates]]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def make_plan(
    profile: GateProfile,
    read: ReadFile,
    detectors: Sequence[Detector],
    *,
    timeout_s: float,
) -> Plan:
    """Plan the gates of a profile for one base commit.

    Raises:
        PlanInvalid: the repository's configuration is malformed; names file and key.
    """
    configured = _read_options(read)
    detected: dict[str, GateCommand] = {}
    for detector in detectors:
        detected = {**detector.commands(read), **detected}
    gates = []
    for name in ENFORCED:
        options = configured.get(name)
        found = detected.get(name)
        command = options.command if options else found.command if found else None
        gates.append(
            PlannedGate(
                name=name,
                stage=Stage.PRE_COMMIT,
                command=command,
                timeout_s=(options and options.timeout) or timeout_s,
                hint="" if command else _hint(name),
            )
        )
    return Plan(profile, tuple(gates))


def _hint(name: str) -> str:
    return (
        f"The base commit says nowhere how to run {name}: add to its orchestrator.toml "
        f'[gates] {name} = "<command>"'
    )


def _read_options(read: ReadFile) -> dict[str, GateOptions]:
    for path, table in SOURCES:
        entries = _table(path, read(path), table)
        if entries is not None:
            where = f"{path} [{'.'.join(table)}]"
            return {name: _options(where, name, value) for name, value in entries.items()}
    return {}


def _table(path: str, content: bytes | None, table: tuple[str, ...]) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        entry: Any = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: {error}."
        raise PlanInvalid(msg) from error
    for name in table:
        entry = entry.get(name)
        if entry is None:
            return None
        if not isinstance(entry, dict):
            msg = f"{path}: {'.'.join(table)} must be a table."
            raise PlanInvalid(msg)
    return dict(entry)


def _options(where: str, name: str, value: object) -> GateOptions:
    if name not in GATES:
        msg = f"{where}: there is no gate {name!r}, only {', '.join(GATES)}."
        raise PlanInvalid(msg)
    try:
        return GateOptions.model_validate(_as_table(value))
    except ValidationError as error:
        path, message = faults_of(error)[0]
        msg = f"{where} {name}: {path}: {message}."
        raise PlanInvalid(msg) from error
