"""Where the change of an agent is pushed, and in whose name: by the settings and the repository."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.repo_config import RepoConfig
from orchestrator.settings import Settings
from orchestrator.workspace.push import pushed_to


@dataclass(frozen=True)
class PushTarget:
    """The remote, the prefix of the branch, and the author of the commit (empty: the default)."""

    address: str
    prefix: str
    author: str


def push_target(settings: Settings, config: RepoConfig, repository: str) -> PushTarget:
    """Return the target of a push; the repository's configuration has precedence.

    `config` is that of the agent's first base commit, so that each attempt pushes to one branch.
    """
    delivery = config.delivery
    return PushTarget(
        pushed_to(settings.push_url, repository),
        delivery.branch_prefix or settings.branch_prefix,
        delivery.author or settings.commit_author or "",
    )
