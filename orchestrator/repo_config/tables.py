"""The tables of a repository's configuration, as frozen models; the JSON schema is made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from orchestrator.models import GateProfile
from orchestrator.repo_config.values import (
    Command,
    Commands,
    Host,
    Image,
    Name,
    Pattern,
    Reason,
    RepoPath,
    Seconds,
    Variable,
)

#: Where a repository may speak to the orchestrator; for each table the first file that has it wins.
SOURCES = (("pyproject.toml", ("tool", "orchestrator")), ("orchestrator.toml", ()))
CONFIG_FILES = tuple(path for path, _ in SOURCES)


class _Table(BaseModel):
    """A table that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class GateOptions(_Table):
    """One command of a gate, or what holds of the commands that are found for it."""

    command: Command | None = None
    """The shell command; without one, those that are found in the repository run."""
    folder: RepoPath | None = None
    """The folder that the command runs in; default: the root."""
    timeout: Seconds | None = None
    """The time that the command may take, such as "5m"."""
    network: bool = False
    """Whether the command may reach the hosts that the operator allows."""
    not_applicable: Reason | None = None
    """Why the repository has nothing that this gate could judge."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.not_applicable is not None and self.model_fields_set != {"not_applicable"}:
            msg = "not_applicable: must stand alone"
            raise ValueError(msg)
        if self.folder is not None and self.command is None:
            msg = "folder: needs a command that runs in it"
            raise ValueError(msg)
        return self


class CoverageOptions(GateOptions):
    """One command of the gate coverage, and the report that it writes."""

    report: RepoPath | None = None
    """The report that the command writes, relative to its folder."""
    minimum: Annotated[float, Field(ge=0, le=100)] | None = None
    """The least coverage in percent; default: 85."""

    @model_validator(mode="after")
    def _has_report(self) -> Self:
        if self.command is not None and self.report is None:
            msg = "report: must name the file the command writes"
            raise ValueError(msg)
        return self


def _as_tables(value: object) -> object:
    return [
        {"command": entry} if isinstance(entry, str) else entry
        for entry in (value if isinstance(value, list) else [value])
    ]


def _check_each(entries: tuple[GateOptions, ...]) -> tuple[GateOptions, ...]:
    if len(entries) > 1 and any(entry.command is None for entry in entries):
        msg = "command: must stand in each entry of a list"
        raise ValueError(msg)
    return entries


Gate = Annotated[
    tuple[GateOptions, ...],
    Field(min_length=1, max_length=50),
    BeforeValidator(
        _as_tables,
        json_schema_input_type=Command | GateOptions | list[Command | GateOptions],
    ),
    AfterValidator(_check_each),
]
CoverageGate = Annotated[
    tuple[CoverageOptions, ...],
    Field(min_length=1, max_length=50),
    BeforeValidator(_as_tables, json_schema_input_type=CoverageOptions | list[CoverageOptions]),
    AfterValidator(_check_each),
]


class GatesConfig(_Table):
    """What each gate runs: a command, a table, or a list of them that must all pass."""

    typecheck: Gate | None = None
    """The gate typecheck."""
    lint: Gate | None = None
    """The gate lint."""
    tests: Gate | None = None
    """The gate tests."""
    coverage: CoverageGate | None = None
    """The gate coverage."""
    build: Gate | None = None
    """The gate build."""
    integration: Gate | None = None
    """The gate integration."""

    def of(self, gate: str) -> tuple[GateOptions, ...]:
        """Return the entries of a gate; empty where nothing is said of it."""
        return getattr(self, gate, None) or ()

    @property
    def named(self) -> tuple[str, ...]:
        """The gates that something is said of."""
        return tuple(name for name in type(self).model_fields if self.of(name))


class Service(_Table):
    """A program beside the sandbox, such as a database."""

    image: Image
    """The image that it runs."""
    variables: dict[Variable, str] = {}
    """Its environment variables."""


class EnvironmentConfig(_Table):
    """What a repository needs before its gates can run."""

    setup: Commands | None = None
    """The commands that install its dependencies."""
    files: tuple[RepoPath, ...] | None = None
    """The files that the environment depends on; default: the lock files found."""
    image: Image | None = None
    """The container image that agents and gates run in."""
    variables: dict[Variable, str] = {}
    """Environment variables of hooks, gates and agents."""
    network: tuple[Host, ...] = ()
    """The hosts that the setup may reach."""
    services: dict[Name, Service] = {}
    """Programs that run beside the sandbox, by name."""


class HooksConfig(_Table):
    """Commands that run in an agent's workspace."""

    after_create: Command | None = None
    """Runs once the workspace is checked out: it installs what the build needs."""
    before_run: Command | None = None
    """Runs right before the agent starts."""
    after_run: Command | None = None
    """Runs right after the agent has ended, before its change is captured."""


class AgentsConfig(_Table):
    """What agents honour of the repository's own files for agents."""

    honour: tuple[Literal["AGENTS.md", "CLAUDE.md", ".claude", ".mcp.json"], ...] | None = None
    """The files that an agent's program may read as its configuration."""


class CaptureConfig(_Table):
    """What belongs to a change, beyond what .gitignore says."""

    ignore: tuple[Pattern, ...] = ()
    """Untracked paths that are never part of a change; patterns as in .gitignore."""
    include: tuple[Pattern, ...] = ()
    """Paths that are part of a change although git ignores them; patterns as in .gitignore."""


class RepoConfig(_Table):
    """Configuration of a repository for Mosaic Orchestrator, read from the base commit only."""

    profile: GateProfile | None = None
    """The gate profile of agents whose spawn request names none; custom: the gates of [gates]."""
    gates: GatesConfig = GatesConfig()
    """What the gates run."""
    environment: EnvironmentConfig = EnvironmentConfig()
    """What the repository needs before its gates can run. Not supported yet: it is refused."""
    hooks: HooksConfig = HooksConfig()
    """Commands that run in an agent's workspace."""
    agents: AgentsConfig = AgentsConfig()
    """What agents honour of the repository's files for agents. Not supported yet: refused."""
    capture: CaptureConfig = CaptureConfig()
    """What belongs to a change."""

    _files: dict[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(())

    def model_post_init(self, context: Any) -> None:
        """Keep where each table was found, which the reader gives as the context."""
        if context is not None:
            self._files, self._warnings = context

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is valid, but has no effect."""
        return self._warnings

    def location(self, table: str) -> str:
        """Return the file and the table that hold a table, or would hold it."""
        other = next(iter(self._files.values()), CONFIG_FILES[-1])
        return location_of(self._files.get(table, other), table)


def location_of(path: str, table: str) -> str:
    """Return how a table, or a key outside any table, is named to people."""
    above = dict(SOURCES)[path]
    if table in RepoConfig.model_fields and table != "profile":
        return f"{path} [{'.'.join((*above, table))}]"
    return f"{path} [{'.'.join(above)}] {table}" if above else f"{path} {table}"
