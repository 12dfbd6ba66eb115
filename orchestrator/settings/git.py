"""The settings of git and of delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from orchestrator.git_names import check_author, check_branch_prefix
from orchestrator.settings.values import Duration, SettingsGroup, env, split_names, split_paths


class GitSettings(SettingsGroup):
    """How the system reaches repositories, and how it delivers an approved change."""

    local_repositories: Annotated[tuple[Path, ...], BeforeValidator(split_paths)] = env(
        "ORCHESTRATOR_LOCAL_REPOSITORIES",
        description="The folders, separated by colons, that may contain repositories on a"
        " worker's own disk. If it is not set, any folder is allowed except those that agents"
        " write to.",
        default=(),
    )
    git_token: SecretStr | None = env(
        "GIT_TOKEN", description="The git token for the hosts in GIT_TOKEN_HOSTS.", default=None
    )
    git_token_hosts: Annotated[tuple[str, ...], BeforeValidator(split_names)] = env(
        "GIT_TOKEN_HOSTS",
        description="The hosts that receive the git token, as `name` or `name:port`, separated by"
        " commas or spaces. It is required with GIT_TOKEN.",
        default=(),
    )
    git_token_command: str | None = env(
        "GIT_TOKEN_COMMAND",
        description="A command that prints the git token. It runs at each use, with the host in"
        " GIT_TOKEN_HOST.",
        default=None,
    )
    git_username: str = env(
        "GIT_USERNAME",
        description="The user name that is sent with the git token.",
        default="x-access-token",
    )
    git_timeout_s: Duration = env(
        "ORCHESTRATOR_GIT_TIMEOUT", description="The time limit of one git command.", default=300.0
    )
    checkout_refs: Literal["all", "none"] = env(
        "ORCHESTRATOR_CHECKOUT_REFS",
        description="`all`: the checkouts of agents and gates have the base commit's"
        " tags and a remote `origin` that cannot push. `none`: they have neither.",
        default="all",
    )
    submodules: Literal["none", "same-host", "any"] = env(
        "ORCHESTRATOR_SUBMODULES",
        description="The submodules whose contents agents and gates get. `none`: no content."
        " `same-host`: those on the host of the repository. `any`: those of any address that a"
        " repository may have.",
        default="none",
    )
    delivery: Literal["branch", "keep"] = env(
        "ORCHESTRATOR_DELIVERY",
        description="`branch`: push approved changes. `keep`: retain them for `orch export`.",
        default="branch",
    )
    branch_prefix: Annotated[str, AfterValidator(check_branch_prefix)] = env(
        "ORCHESTRATOR_BRANCH_PREFIX",
        description="The name of a delivered branch before the agent's id, unless the repository"
        " configures another one.",
        default="agent/",
    )
    commit_author: Annotated[str, AfterValidator(check_author)] | None = env(
        "ORCHESTRATOR_COMMIT_AUTHOR",
        description="The author and committer of delivered commits, as `Name <address>`, unless"
        " the repository configures another one.",
        default=None,
    )
    push_url: str | None = env(
        "ORCHESTRATOR_PUSH_URL",
        description="The remote to push to instead of the repository. `{name}` stands for the"
        " repository's name.",
        default=None,
    )
    conflict_policy: Literal["push-branch", "rebase", "reject"] = env(
        "ORCHESTRATOR_CONFLICT_POLICY",
        description="What to do if the target branch moved after the agent started."
        " `push-branch`: push the change as it was checked. `rebase`: rebase it and run the gates"
        " again. `reject`: fail the agent if the change conflicts.",
        default="push-branch",
    )
    forge: Literal["github", "gitlab", "gitea"] | None = env(
        "ORCHESTRATOR_FORGE",
        description="The kind of code host on which to open a pull or merge request after a push.",
        default=None,
    )
    forge_url: str | None = env(
        "ORCHESTRATOR_FORGE_URL",
        description="The base URL of the code host's API, if it is not the default.",
        default=None,
    )
    change_limit_mib: Annotated[int, Field(ge=1, le=500)] = env(
        "ORCHESTRATOR_CHANGE_LIMIT_MIB",
        description="The limit of one agent's change, in MiB, 1 to 500.",
        default=64,
    )
    stored_filters: Annotated[tuple[str, ...], BeforeValidator(split_names)] = env(
        "ORCHESTRATOR_STORED_FILTERS",
        description="The filters of .gitattributes whose files agents may see as git stores them"
        " (`lfs`: as pointers), separated by commas or spaces. Other filters are refused.",
        default=(),
    )
    secret_allow_list: Path | None = env(
        "ORCHESTRATOR_SECRET_ALLOW_LIST",
        description="A TOML file that lists the findings that the secret scan allows.",
        default=None,
    )

    @model_validator(mode="after")
    def _check_token_has_hosts(self) -> Self:
        if self.git_token and not self.git_token_hosts:
            # A client that may spawn names the repository: it must not choose the token's host.
            msg = "GIT_TOKEN_HOSTS: must name the hosts that GIT_TOKEN is meant for"
            raise ValueError(msg)
        return self

    @property
    def change_limit_bytes(self) -> int:
        """The largest change (bytes) that is captured."""
        return self.change_limit_mib * 2**20
