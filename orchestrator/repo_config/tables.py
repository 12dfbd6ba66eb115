"""The tables of a repository's configuration as frozen models, which define the JSON schema."""

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
from orchestrator.models.identifiers import Author, BranchPrefix
from orchestrator.models.model_choice import Effort, ModelName
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

#: The files that may contain the configuration; for each table the first file that has it is used.
SOURCES = (("pyproject.toml", ("tool", "orchestrator")), ("orchestrator.toml", ()))
CONFIG_FILES = tuple(path for path, _ in SOURCES)


class _Table(BaseModel):
    """A table that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class GateOptions(_Table):
    """One command of a gate, or the options of the commands that the detectors find for it."""

    command: Command | None = None
    """The shell command; without it, the gate runs the commands that the detectors find."""
    folder: RepoPath | None = None
    """The folder in which the command runs; default: the root."""
    timeout: Seconds | None = None
    """The time limit of the command, such as "5m"."""
    network: bool = False
    """Whether the command may connect to the hosts that the operator allows."""
    not_applicable: Reason | None = None
    """The reason why the gate does not apply to this repository."""

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
    """The path of the report that the command writes, relative to its folder."""
    minimum: Annotated[float, Field(ge=0, le=100)] | None = None
    """The minimum coverage in percent; default: 85."""

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
    """The commands of each gate: a command, a table, or a list of them that must all pass."""

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
    red_base: Literal["refuse", "compare", "rework"] | None = None
    """The policy for a gate that fails on the base commit too; default: the operator's. refuse: the
    change is not approved, and the agent gets no rework round for it. compare: only the failures
    that the change adds count. rework: the agent must make the gate pass."""

    def of(self, gate: str) -> tuple[GateOptions, ...]:
        """Return the entries of a gate; empty if the configuration does not name it."""
        return () if gate == "red_base" else getattr(self, gate, None) or ()

    @property
    def named(self) -> tuple[str, ...]:
        """The gates that the configuration names."""
        return tuple(name for name in type(self).model_fields if self.of(name))


class Service(_Table):
    """A program that runs beside the sandbox, such as a database."""

    image: Image
    """The container image of the service."""
    variables: dict[Variable, str] = {}
    """The environment variables of the service."""


class EnvironmentConfig(_Table):
    """The requirements that a repository has before its gates can run."""

    setup: Commands | None = None
    """The commands that install the dependencies, once for all agents and gates; default: those of
    the lock files and manifests found. An empty list: nothing is installed."""
    files: tuple[RepoPath, ...] | None = None
    """The files and folders that the environment depends on; default: the lock files and manifests
    found."""
    image: Image | None = None
    """The container image in which set-up, hooks, agents and gates run, if the sandbox is Docker;
    the operator must allow it. It is refused if the sandbox is not Docker."""
    variables: dict[Variable, str] = {}
    """The environment variables of hooks, gates and agents."""
    network: tuple[Host, ...] = ()
    """The hosts that the setup connects to; the operator must allow each of them."""
    services: dict[Name, Service] = {}
    """The services that run beside the sandbox, by name. This version does not support them."""


class HooksConfig(_Table):
    """Commands that run in an agent's workspace."""

    after_create: Command | None = None
    """Runs after the checkout of the workspace; it installs what the build needs."""
    before_run: Command | None = None
    """Runs immediately before the agent starts."""
    after_run: Command | None = None
    """Runs immediately after the agent has ended, before the capture of its change."""


class AgentsConfig(_Table):
    """The model of agents, and the repository's own files for agents."""

    model: ModelName | None = None
    """The model of agents if their request names none; it applies to a backend that offers it."""
    effort: Effort | None = None
    """The effort of agents if their request names none; it applies to a backend that offers it."""
    honour: tuple[Literal["AGENTS.md", "CLAUDE.md", ".claude", ".mcp.json"], ...] | None = None
    """The files that an agent's program may read as its configuration. This version does not
    support the key."""


class CaptureConfig(_Table):
    """The paths that belong to a change, in addition to the rules of .gitignore."""

    ignore: tuple[Pattern, ...] = ()
    """Untracked paths that are never part of a change; patterns as in .gitignore."""
    include: tuple[Pattern, ...] = ()
    """Paths that are part of a change although git ignores them; patterns as in .gitignore."""


class DeliveryConfig(_Table):
    """The branch and the commit of a delivered change."""

    branch_prefix: BranchPrefix | None = None
    """The name of the branch before the agent's id; default: the operator's, usually "agent/"."""
    author: Author | None = None
    """The author and committer of the commit, such as "Bots <bots@example.org>"."""


class RepoConfig(_Table):
    """Configuration of a repository for Mosaic Orchestrator, read from the base commit only."""

    profile: GateProfile | None = None
    """The gate profile if a spawn request names none; custom: the gates of [gates]."""
    gates: GatesConfig = GatesConfig()
    """The commands of the gates."""
    environment: EnvironmentConfig = EnvironmentConfig()
    """The installed dependencies that agents and gates use."""
    hooks: HooksConfig = HooksConfig()
    """Commands that run in an agent's workspace."""
    agents: AgentsConfig = AgentsConfig()
    """The model of agents, and the repository's files for agents."""
    capture: CaptureConfig = CaptureConfig()
    """The paths that belong to a change."""
    delivery: DeliveryConfig = DeliveryConfig()
    """The branch and the commit of a delivered change."""

    _files: dict[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(())

    def model_post_init(self, context: Any) -> None:
        """Store the file of each table, which the reader passes as the context."""
        if context is not None:
            self._files, self._warnings = context

    @property
    def warnings(self) -> tuple[str, ...]:
        """The valid tables and keys that have no effect."""
        return self._warnings

    def location(self, table: str) -> str:
        """Return the file and the table that contain a table, or would contain it."""
        other = next(iter(self._files.values()), CONFIG_FILES[-1])
        return location_of(self._files.get(table, other), table)


def location_of(path: str, table: str) -> str:
    """Return the name of a table, or of a key outside any table, for messages."""
    above = dict(SOURCES)[path]
    if table in RepoConfig.model_fields and table != "profile":
        return f"{path} [{'.'.join((*above, table))}]"
    return f"{path} [{'.'.join(above)}] {table}" if above else f"{path} {table}"
