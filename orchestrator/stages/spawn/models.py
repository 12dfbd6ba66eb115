"""The backend, model and effort of one attempt: the repository's defaults, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.errors import FallbackUnavailable, OrchestratorError, ProviderLimited
from orchestrator.interfaces.agent import AgentBackend
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import AgentState, LogLine, SpawnRequest
from orchestrator.repo_config import CONFIG_FILES, RepoConfig, read_repo_config
from orchestrator.settings import Settings
from orchestrator.store import provider_limits
from orchestrator.store.agent_logs import append_lines
from orchestrator.store.transition import now_ms
from orchestrator.workspace.mirror import Base, Mirrors

#: Returns the backend of a name.
Backends = Callable[[str], AgentBackend]


def backend_of(agent: AgentState, backends: Backends) -> AgentBackend:
    """Return the backend of an agent; that of a fallback is checked before any preparation.

    Raises:
        FallbackUnavailable: the program of the fallback cannot be started here.
    """
    if not agent.choice:
        return backends(agent.agent)
    try:
        backend = backends(agent.agent)
        backend.check()
    except (OrchestratorError, ImportError) as error:
        reason = error.detail if isinstance(error, OrchestratorError) else f"{error}."
        msg = f"The fallback {agent.current.name} cannot be started here. {reason}"
        raise FallbackUnavailable(msg) from error
    return backend


@dataclass(frozen=True)
class RepositoryModel:
    """Applies `[agents]` of the base commit to agents whose request names no model or effort."""

    holder: AgentLeases
    mirrors: Mirrors
    settings: Settings

    def applied(
        self, agent: AgentState, request: SpawnRequest, base: Base, backend: AgentBackend
    ) -> AgentState:
        """Return the agent with its model and effort, which are written to its state.

        What its backend does not offer is not applied, and told in the log of the agent. A
        fallback keeps its own.

        Raises:
            RepoConfigInvalid: the configuration of the base commit is malformed.
            ProviderLimited: the provider of the model is at its limit.
        """
        if agent.choice or (request.model and request.effort):
            return agent
        config = read_repo_config(self.mirrors.read_some(base, CONFIG_FILES).get)
        offer = ModelOffer.of(backend)
        changed: dict[str, str] = {}
        notices: list[str] = []
        for name, given in _given(config, request):
            fault_of = offer.model_fault if name == "model" else offer.effort_fault
            if fault := fault_of(agent.agent, given):
                notices.append(f"{config.location('agents')} {name} is not applied: {fault}")
            elif getattr(agent, name) != given:
                changed[name] = given
        self._record(agent, notices)
        return self._changed(agent, changed) if changed else agent

    def _changed(self, agent: AgentState, changed: dict[str, str]) -> AgentState:
        facts: dict[str, object] = dict(changed)
        if agent.choices:
            first = agent.choices[0].model_copy(update=changed)
            facts["choices"] = [one.wire() for one in (first, *agent.choices[1:])]
        agent = self.holder.update(agent, facts)
        limits = self.holder.store.run(provider_limits.read_limits())
        until_ms = limits.get(agent.current.name, 0)
        if until_ms <= now_ms(self.holder.clock()):
            return agent
        until = datetime.fromtimestamp(until_ms / 1000, UTC)
        msg = f"The provider of {agent.current.name} is at its limit until {until:%H:%M} UTC."
        limited = ProviderLimited(msg)
        limited.resets_at_s = until_ms / 1000
        raise limited

    def _record(self, agent: AgentState, notices: list[str]) -> None:
        if not notices:
            return
        now, kept = self.holder.clock(), self.settings
        lines = [LogLine(at=now, source="workspace", text=text) for text in notices]
        step = append_lines(
            agent.agent_id, agent.attempt, lines, cap=kept.log_lines, most_bytes=kept.log_bytes
        )
        self.holder.store.follow(step)


def _given(config: RepoConfig, request: SpawnRequest) -> Iterator[tuple[str, str]]:
    """Yield what the repository names and the request does not."""
    if config.agents.model and not request.model:
        yield "model", config.agents.model
    if config.agents.effort and not request.effort:
        yield "effort", config.agents.effort
