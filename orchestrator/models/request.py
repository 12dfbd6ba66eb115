"""The body of a spawn request, from HTTP, the command line or Celery."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from orchestrator.errors import RequestInvalid
from orchestrator.models.gates import GateProfile
from orchestrator.models.identifiers import Branch, Identifier, Repository
from orchestrator.models.model_choice import (
    MOST_FALLBACKS,
    BackendName,
    Effort,
    Fallback,
    ModelName,
)
from orchestrator.models.record import WHOLE, Record, faults_of


class AgentType(StrEnum):
    """The kind of work that an agent does."""

    WORKER = "worker"
    REVIEWER = "reviewer"
    TESTER = "tester"


DEFAULT_PROFILE = {
    AgentType.REVIEWER: GateProfile.STRICT,
    AgentType.WORKER: GateProfile.STANDARD,
    AgentType.TESTER: GateProfile.MINIMAL,
}

WorkItem = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=65_536),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 65_536, "pattern": r"\S"}),
]


#: A pattern of paths from the root of the repository; `*` matches any text, also `/`.
PathPattern = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class SpawnContext(Record):
    """The repository and the work of an agent."""

    repository: Repository
    branch: Branch
    work_items: Annotated[tuple[WorkItem, ...], Field(min_length=1, max_length=100)]
    skills: Annotated[tuple[Identifier, ...], Field(max_length=100)] = ()


class SpawnRequest(Record):
    """The body of a spawn request, from HTTP, the command line or Celery."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"gateProfile": {"const": "custom"}}, "required": ["gateProfile"]},
            "then": {"properties": {"gates": {"minItems": 1}}, "required": ["gates"]},
            "else": {"properties": {"gates": {"maxItems": 0}}},
        }
    )

    task_id: Identifier
    agent_type: AgentType
    context: SpawnContext
    gate_profile: GateProfile | None = None
    priority: Annotated[int, Field(strict=True, ge=1, le=10), WHOLE] = 5
    max_retries: Annotated[int, Field(strict=True, ge=0, le=100), WHOLE] = 3
    agent: BackendName | None = None
    #: One that the backend offers (`orch models`).
    model: ModelName | None = None
    effort: Effort | None = None
    #: Tried in order while the provider is at its limit.
    fallback: Annotated[tuple[Fallback, ...], Field(max_length=MOST_FALLBACKS)] = ()
    #: The most that its agent may cost, below the limit of the settings.
    max_cost_usd: Annotated[float, Field(strict=True, gt=0, le=1_000_000)] | None = None
    gates: tuple[Identifier, ...] = ()
    #: Patterns of the paths of tests and of checks that this work may edit: findings on them are
    #: reported, and do not block.
    may_edit: Annotated[tuple[PathPattern, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _gates_belong_to_custom(self) -> Self:
        if (self.gate_profile is GateProfile.CUSTOM) != bool(self.gates):
            msg = "gates: must be given with gateProfile custom, and only then"
            raise ValueError(msg)
        return self

    @property
    def profile(self) -> GateProfile:
        """The requested gate profile, or the default of the agent's type."""
        return self.gate_profile or DEFAULT_PROFILE[self.agent_type]

    @classmethod
    def parse(cls, document: object) -> SpawnRequest:
        """Parse an untrusted document.

        Raises:
            RequestInvalid: with every fault and its path.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise RequestInvalid(faults_of(error)) from error
