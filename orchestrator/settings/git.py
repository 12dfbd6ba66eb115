"""The settings of git, and of what leaves and where to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env, split_names, split_paths


class GitSettings(BaseSettings):
    """How repositories are reached, and how an approved change leaves."""

    local_repositories: Annotated[tuple[Path, ...], BeforeValidator(split_paths)] = env(
        "ORCHESTRATOR_LOCAL_REPOSITORIES",
        description="The folders, separated by colons, that repositories on a worker's own disk lie"
        " in; where none is named, anywhere but where agents write.",
        default=(),
    )
    git_token: SecretStr | None = env(
        "GIT_TOKEN", description="The token for the hosts in GIT_TOKEN_HOSTS.", default=None
    )
    git_token_hosts: Annotated[tuple[str, ...], BeforeValidator(split_names)] = env(
        "GIT_TOKEN_HOSTS",
        description="The hosts that are given the token, `name` or `name:port`, by commas or"
        " blanks; required with GIT_TOKEN.",
        default=(),
    )
    git_token_command: str | None = env(
        "GIT_TOKEN_COMMAND",
        description="A command run at each use that prints the token, with the host in"
        " GIT_TOKEN_HOST.",
        default=None,
    )
    git_username: str = env(
        "GIT_USERNAME",
        description="The name that goes with the token.",
        default="x-access-token",
    )
    git_timeout_s: Duration = env(
        "ORCHESTRATOR_GIT_TIMEOUT", description="The time of one git command.", default=300.0
    )
    delivery: Literal["branch", "keep"] = env(
        "ORCHESTRATOR_DELIVERY",
        description="`branch`: push approved changes; `keep`: keep them for `orch export`.",
        default="branch",
    )
    push_url: str | None = env(
        "ORCHESTRATOR_PUSH_URL",
        description="The remote to push to instead of the repository; `{name}` is its name.",
        default=None,
    )
    conflict_policy: Literal["push-branch", "rebase", "reject"] = env(
        "ORCHESTRATOR_CONFLICT_POLICY",
        description="What happens to a change whose target branch has moved: push it as judged,"
        " rebase and judge it again, or refuse it if it conflicts.",
        default="push-branch",
    )
    forge: Literal["github", "gitlab", "gitea"] | None = env(
        "ORCHESTRATOR_FORGE",
        description="The code host that is asked for a pull or merge request after a push.",
        default=None,
    )
    forge_url: str | None = env(
        "ORCHESTRATOR_FORGE_URL",
        description="The address of its API, where it is not the usual one.",
        default=None,
    )
    change_limit_mib: Annotated[int, Field(ge=1, le=500)] = env(
        "ORCHESTRATOR_CHANGE_LIMIT_MIB",
        description="The largest change of an agent, in MiB, 1 to 500.",
        default=64,
    )
    secret_allow_list: Path | None = env(
        "ORCHESTRATOR_SECRET_ALLOW_LIST",
        description="A TOML file of findings the secret scan allows.",
        default=None,
    )

    @model_validator(mode="after")
    def _check_token_has_hosts(self) -> Self:
        if self.git_token and not self.git_token_hosts:
            # Whoever may spawn names the repository: its host must not be theirs to choose.
            msg = "GIT_TOKEN_HOSTS: must name the hosts that GIT_TOKEN is meant for"
            raise ValueError(msg)
        return self

    @property
    def change_limit_bytes(self) -> int:
        """The largest change that travels."""
        return self.change_limit_mib * 2**20
