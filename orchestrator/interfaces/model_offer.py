"""What a backend offers of models and efforts, and whether a name is part of it."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from orchestrator.interfaces.agent import AgentBackend, OffersModels


@dataclass(frozen=True)
class ModelOffer:
    """The names, or shell patterns of them, that a backend takes; empty if it takes none."""

    models: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()

    @classmethod
    def of(cls, backend: AgentBackend) -> ModelOffer:
        """Return the offer of a backend; one without the Protocol takes neither."""
        if not isinstance(backend, OffersModels):
            return cls()
        return cls(backend.models, backend.efforts)

    def model_fault(self, agent: str, model: str) -> str:
        """Return why the backend does not take this model; empty if it does."""
        return _fault(agent, "model", model, self.models)

    def effort_fault(self, agent: str, effort: str) -> str:
        """Return why the backend does not take this effort; empty if it does."""
        return _fault(agent, "effort", effort, self.efforts)

    def has_effort(self, effort: str | None) -> bool:
        """Return whether the backend takes this effort."""
        return effort is not None and _is_among(effort, self.efforts)


def _fault(agent: str, what: str, name: str, offered: tuple[str, ...]) -> str:
    if _is_among(name, offered):
        return ""
    if not offered:
        return f"the backend {agent} takes no {what}: leave it out, or choose another agent"
    return f"the backend {agent} does not offer {name!r}, only {', '.join(offered)}"


def _is_among(name: str, offered: tuple[str, ...]) -> bool:
    # A name may contain brackets, which are special in a pattern.
    return any(name == one or fnmatchcase(name, one) for one in offered)
