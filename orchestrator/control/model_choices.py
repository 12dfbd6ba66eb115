"""The choices of backend, model and effort of a request: its own, the defaults, the fallbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.errors import OrchestratorError, RequestInvalid
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.models import AgentType, ModelChoice, SpawnRequest

#: A path in the request, and what is wrong there.
Fault = tuple[str, str]


def no_offer(agent: str) -> ModelOffer:
    """Return an empty offer, as of a backend that takes no model."""
    del agent
    return ModelOffer()


@dataclass(frozen=True)
class ModelChoices:
    """Resolves and validates what requests name, against the backends of this installation."""

    default_agent: str
    agents: frozenset[str]
    #: The default of an agentType, if the settings name one.
    defaults: Mapping[AgentType, ModelChoice] = field(default_factory=dict)
    #: Builds a backend; called only for a request that names a model, an effort or a fallback.
    offers: Callable[[str], ModelOffer] = no_offer

    def of(self, request: SpawnRequest, agent: str | None = None) -> tuple[ModelChoice, ...]:
        """Return the first choice of a request and its fallbacks, in their order.

        `agent` is the backend of a request that names none; None for the default. A fallback has
        the effort of the request if its backend takes it. A fallback that repeats an earlier
        choice is left out, because their provider has one limit.

        Raises:
            RequestInvalid: with every fault and its path.
        """
        agent = request.agent or agent or self._default(request).agent
        choices = [self._choice(request, agent, request.model, request.effort)]
        faults = [*self._faults("", agent, request.model, request.effort)]
        for number, entry in enumerate(request.fallback):
            path, other = f"fallback.{number}.", entry.agent or agent
            found = [*self._faults(path, other, entry.model, None)]
            is_kept = not found and request.effort and not self._refused(other, request.effort)
            choice = self._choice(request, other, entry.model, request.effort if is_kept else None)
            faults += found
            if choice.name not in (one.name for one in choices):
                choices.append(choice)
        if faults:
            raise RequestInvalid(tuple(faults))
        return tuple(choices)

    def faults_of_defaults(self) -> Iterator[Fault]:
        """Yield what no backend takes of the defaults of the settings."""
        for agent_type, default in self.defaults.items():
            yield from self._faults(f"{agent_type}.", default.agent, default.model, default.effort)

    def _choice(
        self, request: SpawnRequest, agent: str, model: str | None, effort: str | None
    ) -> ModelChoice:
        default = self._default(request)
        if default.agent != agent:
            default = ModelChoice(agent=agent)
        return ModelChoice(
            agent=agent, model=model or default.model, effort=effort or default.effort
        )

    def _default(self, request: SpawnRequest) -> ModelChoice:
        default = self.defaults.get(request.agent_type)
        return default or ModelChoice(agent=self.default_agent)

    def _refused(self, agent: str, effort: str) -> str:
        return self.offers(agent).effort_fault(agent, effort)

    def _faults(
        self, path: str, agent: str, model: str | None, effort: str | None
    ) -> Iterator[Fault]:
        if agent not in self.agents:
            yield f"{path}agent", f"must be one of {', '.join(sorted(self.agents))}"
            return
        if path.startswith("fallback") or model or effort:
            try:
                offer = self.offers(agent)
            except (OrchestratorError, ImportError) as error:
                yield f"{path}agent", f"the backend {agent} cannot be used here: {error}"
                return
            if model and (fault := offer.model_fault(agent, model)):
                yield f"{path}model", fault
            if effort and (fault := offer.effort_fault(agent, effort)):
                yield f"{path}effort", fault
