"""What a repository says itself about its gates: one TOML table, parsed and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from orchestrator.errors import PlanInvalid
from orchestrator.gates.profiles import profiles
from orchestrator.models import faults_of
from orchestrator.settings import parse_duration

#: Reads a file of the base commit; None where there is none.
ReadFile = Callable[[str], bytes | None]

#: Where a repository may speak to the orchestrator; the first file that has a table wins.
SOURCES = (("pyproject.toml", ("tool", "orchestrator")), ("orchestrator.toml", ()))

#: The one gate that reads a report, and so the one that has `report` and `minimum`.
_COVERAGE = "coverage"


def _as_table(value: object) -> object:
    return {"command": value} if isinstance(value, str) else value


def _check_command(command: str) -> str:
    if "\0" in command:
        msg = "must not contain a null character"
        raise ValueError(msg)
    return command


def _check_report(report: str) -> str:
    parts = PurePosixPath(report).parts
    if not parts or ".." in parts or report.startswith("/") or "\0" in report:
        msg = "must be a path inside the repository"
        raise ValueError(msg)
    return report


class GateOptions(BaseModel):
    """One entry of the repository's own configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: (
        Annotated[
            str,
            StringConstraints(strip_whitespace=True, min_length=1),
            AfterValidator(_check_command),
        ]
        | None
    ) = None
    timeout: Annotated[float, BeforeValidator(parse_duration)] | None = None
    report: Annotated[str, AfterValidator(_check_report)] | None = None
    minimum: Annotated[float, Field(ge=0, le=100)] | None = None
    network: bool = False


def read_options(read: ReadFile) -> tuple[str, dict[str, GateOptions]]:
    """Return where this repository's gates are or would be configured, and the options of each.

    Raises:
        PlanInvalid: the table is malformed; names file and key.
    """
    where, entries = read_table(read, "gates")
    return where, {name: _options(where, name, value) for name, value in (entries or {}).items()}


def read_table(read: ReadFile, name: str) -> tuple[str, dict[str, Any] | None]:
    """Return where a table of this name stands or would stand, and the table if there is one.

    Raises:
        PlanInvalid: a file cannot be parsed, or what stands there is no table.
    """
    for path, above in SOURCES:
        table = (*above, name)
        where = f"{path} [{'.'.join(table)}]"
        entries = _table(path, read(path), table)
        if entries is not None:
            return where, entries
    return where, None


def _table(path: str, content: bytes | None, table: tuple[str, ...]) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        entry: Any = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: {error}."
        raise PlanInvalid(msg) from error
    except RecursionError as error:
        msg = f"{path}: nested too deeply."
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
    runnable = [gate for gate, kind in profiles().gates.items() if kind.command]
    if name not in runnable:
        msg = f"{where}: there is no gate {name!r} to configure, only {', '.join(runnable)}."
        raise PlanInvalid(msg)
    try:
        options = GateOptions.model_validate(_as_table(value))
    except ValidationError as error:
        path, message = faults_of(error)[0]
        msg = f"{where} {name}: {path}: {message}."
        raise PlanInvalid(msg) from error
    fault = _misfit(name, options)
    if fault:
        msg = f"{where} {name}: {fault}."
        raise PlanInvalid(msg)
    return options


def _misfit(name: str, options: GateOptions) -> str | None:
    if name == _COVERAGE:
        nameless = options.command is not None and options.report is None
        return "report: must name the file the command writes" if nameless else None
    given = [key for key in ("report", "minimum") if getattr(options, key) is not None]
    return f"{given[0]}: belongs to {_COVERAGE} only" if given else None
