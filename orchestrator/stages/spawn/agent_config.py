"""Holds a repository's configuration of agent programs to ORCHESTRATOR_AGENT_CONFIG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from orchestrator.errors import ChangeEmpty, HookFailed
from orchestrator.host.folders import remove_below
from orchestrator.interfaces.agent import AgentBackend, IgnoresAgentConfig
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import AgentState
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.repo_config.agent_files import SETTINGS_FILES, configuration_in, restrictions
from orchestrator.stages.spawn.context import RunContext
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.worktree import Workspace

_SHOWN = 5


def report_agent_config(
    context: RunContext, holder: AgentLeases, agent: AgentState, paths: Iterable[str]
) -> None:
    """Write to log and events whether the configuration of the base commit is applied.

    `agent` is running, and `paths` are those of the base commit. Without such a file nothing is
    written.
    """
    found = configuration_in(paths)
    if not found:
        return
    shown = ", ".join(found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    policy = context.programs.settings.agent_config
    if _ignores(context.backend):
        how = "not applied, because it is content"
    elif policy == "trusted":
        how = "applied by the agent's program"
    else:
        how = "perhaps applied by the agent's program, because its backend cannot prevent it"
    text = f"{how} (ORCHESTRATOR_AGENT_CONFIG={policy}): {shown}{more}"
    context.transcript.record(text, source="agent-config")
    if not context.is_prepared:
        holder.warn(agent, AgentWarning(code=WarningCode.AGENT_CONFIG, text=text))


def remove_planted(workspace: Workspace, names: Iterable[str]) -> None:
    """Remove files of the agent's HOME that hooks or an earlier program may have written.

    Raises:
        HookFailed: a name cannot be removed, for instance because a link leads to it.
    """
    for name in names:
        try:
            remove_below(workspace.home, name)
        except OSError as error:
            msg = f"~/{name} of the workspace cannot be removed before the start: {error.strerror}."
            raise HookFailed(msg) from error


@contextmanager
def naming_restrictions(backend: AgentBackend, mirrors: Mirrors, base: Base) -> Iterator[None]:
    """Name in the error of an unchanged tree the settings that may have prevented the change.

    Raises:
        ChangeEmpty: the agent changed nothing.
    """
    try:
        yield
    except ChangeEmpty as error:
        if _ignores(backend):
            raise
        named = restrictions(mirrors.read_some(base, SETTINGS_FILES).get)
        if not named:
            raise
        msg = f"{error.detail} It may be kept from writing by {', '.join(named)}."
        action = (
            "Correct these settings in the repository, or set ORCHESTRATOR_AGENT_CONFIG=content,"
            " so that they are not applied."
        )
        raise ChangeEmpty(msg, action=action) from error


def _ignores(backend: AgentBackend) -> bool:
    return isinstance(backend, IgnoresAgentConfig) and backend.ignores_agent_config
