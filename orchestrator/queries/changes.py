"""What an agent changed, taken into a repository of this host to be shown."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.store import agents, changes
from orchestrator.store.client import Store
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.diff import patch
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.push import pushed_to


@contextmanager
def received(
    settings: Settings, store: Store, agent_id: str
) -> Iterator[tuple[Candidates, Candidate, Base]]:
    """Take the newest change of an agent into a repository of this host; on leaving, remove it.

    Raises:
        NotFound: there is no such agent.
        ChangeMissing: it changed nothing, or pushed it.
    """
    agent: AgentState = store.run(agents.read(agent_id))
    attempt, bundle = store.follow(changes.newest_change(agent_id, agent.attempt))
    git = Git(settings)
    base = Mirrors(settings, git).at(agent.repository, agent.base_branch, agent.base_commit or "")
    candidates = Candidates(settings, git)
    # Not where a gate check of the same attempt, or another reader, may be at work.
    place = f"{agent_id}-{uuid.uuid4().hex[:8]}"
    with candidates.received(base, bundle, place, attempt) as candidate:
        yield candidates, candidate, base


def read_patch(settings: Settings, store: Store, agent_id: str) -> str:
    """Return what an agent changed as a patch for readers: of its pushed commit, else as kept.

    Raises:
        NotFound: there is no such agent.
        ChangeMissing: it changed nothing.
    """
    agent = store.run(agents.read(agent_id))
    if agent.branch and agent.commit:
        git = Git(settings)
        address = pushed_to(settings.push_url, agent.repository)
        pushed = Mirrors(settings, git).at(address, agent.branch, agent.commit)
        return patch(git, pushed.mirror, f"{agent.commit}^", agent.commit)
    with received(settings, store, agent_id) as (candidates, candidate, base):
        return candidates.patch(candidate, base)
