"""The environment that `orch init` proposes: the committed one, or that of a devcontainer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.cli.local.gate_plans import image_lack
from orchestrator.repo_config import CONFIG_FILES, EnvironmentConfig, ReadFile, read_repo_config
from orchestrator.repo_config.devcontainer import read_devcontainer
from orchestrator.settings import Settings


@dataclass(frozen=True)
class ProposedEnvironment:
    """The table [environment] of a proposal."""

    #: The file that it comes from; empty if nothing is proposed.
    source: str = ""
    config: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    #: What is proposed as a comment only, by key, with the reason.
    withheld: Mapping[str, str] = field(default_factory=dict)
    #: What is not taken over, and why.
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> Mapping[str, object]:
        """The keys that are proposed, those that are a comment included."""
        return self.config.model_dump(mode="json", exclude_unset=True)

    @property
    def active(self) -> EnvironmentConfig:
        """The table without what is only a comment."""
        kept = {key: value for key, value in self.keys.items() if key not in self.withheld}
        return EnvironmentConfig.model_validate(kept)

    @property
    def may_be_less(self) -> bool:
        """Whether a set-up that fails may be left out: no person has chosen it for agents."""
        is_chosen = self.source in CONFIG_FILES
        return not is_chosen and self.config.setup is not None and "setup" not in self.withheld

    def without_setup(self, reason: str) -> ProposedEnvironment:
        """Return the proposal with its commands as a comment."""
        return replace(self, withheld={**self.withheld, "setup": reason})


def proposed_environment(
    settings: Settings, read: ReadFile, paths: Collection[str]
) -> ProposedEnvironment:
    """Return the committed environment, else what a `devcontainer.json` of the commit says.

    Raises:
        RepoConfigInvalid: the committed configuration is malformed.
    """
    found = read_devcontainer(read, paths)
    committed = read_repo_config(read)
    if "environment" in committed.model_fields_set:
        source = committed.location("environment").split()[0]
        notes = (f"{found.path} is not read: [environment] is there",) if found else ()
        return ProposedEnvironment(source, committed.environment, notes=notes)
    if found is None:
        return ProposedEnvironment()
    lack = image_lack(settings, found.environment.image or "")
    withheld = {"image": lack} if lack else {}
    return ProposedEnvironment(found.path, found.environment, withheld, found.notes)
